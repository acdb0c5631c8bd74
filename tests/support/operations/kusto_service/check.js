// Analyse KQL with Microsoft's language service: {tables: {name: "column:type, …"}, queries: […]} on standard input,
// a list of findings for each query on standard output. The only argument is the package's folder.
const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");

// They are scripts for a web page, not modules.
for (const name of ["bridge.min.js", "Kusto.Language.Bridge.min.js"]) {
  vm.runInThisContext(fs.readFileSync(path.join(process.argv[2], name), "utf8"), name);
}
const { Diagnostic, GlobalState, KustoCode } = Kusto.Language;
const { DatabaseSymbol, TableSymbol } = Kusto.Language.Symbols;

const { tables, queries } = JSON.parse(fs.readFileSync(0, "utf8"));
const symbols = Object.entries(tables).map(([name, columns]) => new TableSymbol.$ctor7(name, `(${columns})`, null));
const globals = GlobalState.Default.WithDatabase(new DatabaseSymbol.ctor("insights", symbols));
const found = queries.map((query) => {
  const diagnostics = KustoCode.ParseAndAnalyze(query, globals).GetDiagnostics();
  return System.Linq.Enumerable.from(diagnostics, Diagnostic)
    .ToArray(Diagnostic)
    .map((each) => `${each.Start}: ${each.Message}`);
});
console.log(JSON.stringify(found));
