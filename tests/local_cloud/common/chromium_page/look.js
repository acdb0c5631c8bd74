// Opens pages in the Chromium of argv[2]: JSON on standard input says which and how, JSON on standard output what came of it.
"use strict";

const { readFileSync } = require("node:fs");
const { pathToFileURL } = require("node:url");
const { chromium } = require("playwright-core");

async function look(browser, { file, dark, width, height, ask, picture }) {
  const context = await browser.newContext({ colorScheme: dark ? "dark" : "light", viewport: { width, height } });
  const page = await context.newPage();
  const url = pathToFileURL(file).href;
  const requests = [];
  const said = [];
  page.on("request", (request) => request.url() !== url && requests.push(request.url()));
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error}`));
  page.on("dialog", (dialog) => said.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  await page.goto(url);
  const answer = await page.evaluate(ask);
  if (picture) await page.screenshot({ path: picture });
  await context.close();
  return { requests, said, answer };
}

async function main() {
  // What is opened is our own page; containers rarely let the sandbox have its namespaces.
  const args = ["--no-sandbox", "--no-zygote", "--disable-gpu", "--font-render-hinting=none"];
  const browser = await chromium.launch({ executablePath: process.argv[2], args });
  const views = [];
  for (const page of JSON.parse(readFileSync(0, "utf8"))) views.push(await look(browser, page));
  await browser.close();
  process.stdout.write(JSON.stringify(views));
}

main().catch((error) => {
  console.error(String(error));
  process.exit(1);
});
