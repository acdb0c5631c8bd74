// Azurite of its own process, on free ports of the loopback and in memory: says on standard output where its services
// listen, and serves until its standard input ends.
"use strict";

const PORTS = ["blob", "queue", "table"].flatMap((service) => [`--${service}Port`, "0"]);

process.argv.push(...PORTS, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
require("azurite/dist/src/azurite");
