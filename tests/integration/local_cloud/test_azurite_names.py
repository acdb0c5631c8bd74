"""Azurite's store finds names by its index: with the same results, and without reading the other blobs."""

from random import Random
from typing import Any

from tests.local_cloud.azure.storage.azurite import SOURCE, install
from tests.support.local_cloud.node_program import ask_program

# Reads {"documents", "queries", "ordered"} and prints the names that each query finds, and how many names it read.
PROGRAM = """
const Loki = require("lokijs");
const input = JSON.parse(require("fs").readFileSync(0, "utf8"));
if (input.ordered) require(process.argv[1]).install();
let reads = 0;
const blobs = new Loki("x").addCollection("blobs", { indices: ["accountName", "containerName", "name", "snapshot"] });
for (const { name, ...others } of input.documents) {
  const document = { ...others };
  Object.defineProperty(document, "name", { enumerable: true, get: () => (reads++, name) });
  blobs.insert(document);
}
const answers = input.queries.map((query) => {
  reads = 0;
  const found = blobs.chain().find(query).data();
  const count = reads;
  const first = blobs.findOne(query);
  return [found.map((each) => each.name + each.containerName + each.snapshot).sort(), first !== null, count];
});
console.log(JSON.stringify(answers));
"""


def ask(documents: list[dict[str, str]], queries: list[dict[str, Any]], *, ordered: bool) -> list[Any]:
    question = {"documents": documents, "queries": queries, "ordered": ordered}
    return ask_program(PROGRAM, SOURCE / "names_first.js", question, packages=install())


def document(name: str, container: str = "c", snapshot: str = "") -> dict[str, str]:
    return {"accountName": "a", "containerName": container, "name": name, "snapshot": snapshot}


def prefix(start: str) -> dict[str, str]:
    """Return the condition that Azurite makes of a prefix."""
    return {"$regex": "^" + "".join(f"\\{each}" if each in "-/.+" else each for each in start)}


def test_queries_find_the_same_with_and_without_the_index() -> None:
    random = Random(1)

    def word() -> str:
        return "".join(random.choices("ab1-./+\uffff\U0010ffff", k=random.randint(1, 5)))

    documents = [document(word(), random.choice("cd"), random.choice(["", "s"])) for _ in range(400)]
    names = [each["name"] for each in documents]
    queries: list[dict[str, Any]] = [{"accountName": "a", "containerName": "c", "name": name} for name in names[:60]]
    starts = [*(name[: random.randint(1, 3)] for name in names), *(word() for _ in range(60))]
    queries += [{"name": prefix(start), "accountName": "a", "containerName": "c"} for start in starts]
    queries += [{"containerName": "c", "snapshot": "s"}, {"name": names[0]}, {}]
    ordered, plain = (ask(documents, queries, ordered=ordered) for ordered in (True, False))
    assert [each[:2] for each in ordered] == [each[:2] for each in plain]
    assert sum(bool(each[0]) for each in plain) > 100


def test_a_request_reads_its_names_and_not_the_container() -> None:
    query = {"accountName": "a", "containerName": "c"}
    queries = [query | {"name": "tenant/1"}, {"name": prefix("tenant/"), **query}]
    reads = []
    for others in (100, 3_200):
        documents = [document(f"tenant/{number}") for number in range(9)]
        documents += [document(f"{side}/{number}") for side in ("other", "z") for number in range(others)]
        answers = ask(documents, queries, ordered=True)
        assert [len(each[0]) for each in answers] == [1, 9]
        reads.append([each[2] for each in answers])
    # A search in the index reads a few more names when there are 32 times as many.
    assert all(large < small + 100 for small, large in zip(*reads, strict=True)), reads
