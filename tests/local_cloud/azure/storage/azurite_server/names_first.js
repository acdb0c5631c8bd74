// Make Azurite's store look names up by its index. Azurite asks for account, container and name in this order, and for
// the start of a name as a regular expression, so each request would read all blobs.
"use strict";

const Loki = require("lokijs");

const NAMES = ["name", "blobName"];
// Greater than all that follows the start of a name.
const LAST = "\uffff\uffff\uffff\uffff";

// A name with a slash is no number, which Loki would compare as such.
function readStart(condition) {
  const pattern = condition && typeof condition.$regex === "string" ? condition.$regex : "";
  const start = pattern.slice(1).replace(/\\(.)/g, "$1");
  return pattern.startsWith("^") && start.includes("/") ? start : null;
}

// Return the same conditions, those of names first. The exact condition stays beside the range.
function order(query) {
  const name = query && typeof query === "object" ? NAMES.find((each) => each in query) : undefined;
  if (name === undefined) {
    return query;
  }
  const { [name]: condition, ...others } = query;
  const start = readStart(condition);
  const range = start === null ? [] : [{ [name]: { $between: [start, start + LAST] } }];
  return { $and: [...range, { [name]: condition }, ...Object.entries(others).map(([key, value]) => ({ [key]: value }))] };
}

function install() {
  const find = Loki.Resultset.prototype.find;
  Loki.Resultset.prototype.find = function (query, firstOnly) {
    const several = query && typeof query === "object" && Object.keys(query).length > 1;
    return find.call(this, several ? order(query) : query, firstOnly);
  };
}

module.exports = { install, order };
