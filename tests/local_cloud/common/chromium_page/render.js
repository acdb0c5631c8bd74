// Open pages in the Chromium of argv[2]. The pages come as JSON on standard input, the results go as JSON to standard output.
"use strict";

const { readFileSync } = require("node:fs");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

async function render(browser, { file, dark, width, height, expression, screenshot }) {
  const context = await browser.newContext({ colorScheme: dark ? "dark" : "light", viewport: { width, height } });
  const page = await context.newPage();
  const url = pathToFileURL(file).href;
  const requests = [];
  const lines = [];
  page.on("request", (request) => request.url() !== url && requests.push(request.url()));
  page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => lines.push(`error: ${error}`));
  page.on("dialog", (dialog) => lines.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  await page.goto(url);
  const value = await page.evaluate(expression);
  if (screenshot) await page.screenshot({ path: screenshot });
  await context.close();
  return { requests, console: lines, value };
}

async function main() {
  // The pages are our own, and containers rarely allow the sandbox its namespaces.
  const args = ["--no-sandbox", "--no-zygote", "--disable-gpu", "--font-render-hinting=none"];
  const browser = await chromium.launch({ executablePath: process.argv[2], args });
  const views = [];
  for (const page of JSON.parse(readFileSync(0, "utf8"))) views.push(await render(browser, page));
  await browser.close();
  process.stdout.write(JSON.stringify(views));
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
