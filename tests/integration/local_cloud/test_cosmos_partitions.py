"""The Cosmos DB emulator reads one partition for a query that names it, with the same results."""

from random import Random
from typing import Any

from daily_batch.metadata.cosmos import _ONE, _RANGE
from tests.local_cloud.azure.cosmos import SOURCE, install
from tests.support.local_cloud.node_program import ask_program

# Reads {"changes", "queries", "by_partition"}, and prints the ids that each query finds and how many documents it read.
PROGRAM = """
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
if (input.by_partition) require(process.argv[1]).install();
const Account = require("@vercel/cosmosdb-server/lib/account").default;
const account = new Account("localhost");
account.databases.create({ id: "d" });
account.database("d").collections.create({ id: "c", partitionKey: { paths: ["/PK"] } });
const documents = account.database("d").collection("c").documents;
for (const { gone, ...document } of input.changes) {
  gone ? documents.delete(document.id, document.PK) : documents.upsert(document);
}
const Item = require("@vercel/cosmosdb-server/lib/account/item").default;
let reads = 0;
const read = Item.prototype.read;
Item.prototype.read = function () { reads++; return read.call(this); };
const answers = input.queries.map((query) => {
  reads = 0;
  const { result } = documents.query(query, { maxItemCount: 1000 });
  return [result.map((each) => `${each.PK} ${each.id}`), reads];
});
console.log(JSON.stringify(answers));
"""


def ask(changes: list[dict[str, Any]], queries: list[dict[str, Any]], *, by_partition: bool) -> list[Any]:
    question = {"changes": changes, "queries": queries, "by_partition": by_partition}
    return ask_program(PROGRAM, SOURCE / "by_partition.js", question, packages=install())


def query(text: str, **values: str) -> dict[str, Any]:
    return {"query": text, "parameters": [{"name": f"@{name}", "value": value} for name, value in values.items()]}


def test_queries_find_the_same_after_random_changes() -> None:
    random = Random(1)
    alive: set[tuple[str, str]] = set()
    changes: list[dict[str, Any]] = []
    for _ in range(600):
        key = (random.choice("abc"), str(random.randrange(40)))
        gone = key in alive and random.random() < 0.4
        alive = alive - {key} if gone else alive | {key}
        changes.append({"PK": key[0], "id": key[1], "SK": key[1], "gone": gone})
    queries = [query(_ONE, pk=pk, sk=str(sk)) for pk in "abcd" for sk in range(40)]
    queries += [query(_RANGE, pk=pk, first="1", last="3") for pk in "abcd"]
    queries += [query("SELECT * FROM c WHERE c.PK = @pk AND c.SK = '1' OR c.SK = '2'", pk="a")]
    queries += [query("SELECT * FROM c")]
    narrow, plain = (ask(changes, queries, by_partition=each) for each in (True, False))
    assert [found for found, _ in narrow] == [found for found, _ in plain]
    assert len(plain[-1][0]) == len(alive)


def test_a_query_reads_its_partition_and_not_the_container() -> None:
    reads = []
    for others in (10, 500):
        changes = [{"PK": "own", "id": str(number), "SK": str(number)} for number in range(9)]
        changes += [{"PK": f"other-{number}", "id": "1", "SK": "1"} for number in range(others)]
        ((found, count),) = ask(changes, [query(_ONE, pk="own", sk="3")], by_partition=True)
        assert found == ["own 3"]
        reads.append(count)
    assert reads[0] == reads[1] < 20
