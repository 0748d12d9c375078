// Ends with 1 if the document that is named is no valid AsyncAPI, and says where.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

async function main(path) {
  const { diagnostics } = await new Parser().parse(readFileSync(path, "utf8"), { source: path });
  const wrong = diagnostics.filter(({ severity }) => severity < 2);
  for (const { path: at, message } of wrong) {
    console.error(`${path}: ${at.join(".")}: ${message}`);
  }
  process.exit(wrong.length > 0 ? 1 : 0);
}

main(process.argv[2]);
