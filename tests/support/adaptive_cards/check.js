// Parse Adaptive Cards with Microsoft's renderer: a list of cards on standard input, for each what the parser reported
// and the card that it read on standard output. The only argument is the package's folder.
const fs = require("node:fs");
const path = require("node:path");
const cards = require(path.join(process.argv[2], "dist/adaptivecards.js"));

const found = JSON.parse(fs.readFileSync(0, "utf8")).map((document) => {
  const context = new cards.SerializationContext(cards.Versions.v1_4);
  const card = new cards.AdaptiveCard();
  card.parse(document, context);
  const events = Array.from({ length: context.eventCount }, (_, index) => context.getEventAt(index));
  const invalid = card.validateProperties().validationEvents;
  return { problems: [...events, ...invalid].map((each) => each.message), card: card.toJSON() };
});
console.log(JSON.stringify(found));
