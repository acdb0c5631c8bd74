// A Cosmos DB of its own process, on a free port of the loopback: prints its address, and serves until its standard
// input ends.
"use strict";

const { createHttpServer } = require("@vercel/cosmosdb-server");
const Account = require("@vercel/cosmosdb-server/lib/account").default;

// It names itself https:// also where it serves plain HTTP, and the SDK goes where the account says.
const read = Account.prototype.read;
Account.prototype.read = function () {
  return JSON.parse(JSON.stringify(read.call(this)).replaceAll("https://", "http://"));
};

const server = createHttpServer({ keepAlive: true }).listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
