// Run Azurite in memory on free loopback ports. It prints the addresses of its services and serves until standard input
// ends.
"use strict";

const PORTS = ["blob", "queue", "table"].flatMap((service) => [`--${service}Port`, "0"]);

process.argv.push(...PORTS, "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent");
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
require("./names_first").install();
require("azurite/dist/src/azurite");
