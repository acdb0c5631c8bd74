// Run a Cosmos DB on a free loopback port. It prints its address and serves until standard input ends.
"use strict";

const { createHttpServer } = require("@vercel/cosmosdb-server");
const Account = require("@vercel/cosmosdb-server/lib/account").default;

require("./by_partition").install();

// It announces https:// endpoints although it serves plain HTTP, and the SDK connects to what the account announces.
const read = Account.prototype.read;
Account.prototype.read = function () {
  return JSON.parse(JSON.stringify(read.call(this)).replaceAll("https://", "http://"));
};

const server = createHttpServer({ keepAlive: true }).listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
