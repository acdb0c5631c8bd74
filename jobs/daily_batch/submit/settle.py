"""How a submitted day ended, from the truth: its receipt, which is written last, and what the job's service says."""

import msgspec
from obstore.store import ObjectStore

from daily_batch.ledger import Entry, Ledger
from daily_batch.receipt import Receipt, receipt_key
from daily_batch.submit.job import ENDED, Submitter


def settle(entry: Entry, *, ledger: Ledger, submitter: Submitter, output: ObjectStore, output_path: str) -> Entry:
    """End a submitted day whose job has ended; any other entry is returned as it is.

    Args:
        output: the store of the output root.
        output_path: where the tenant's tables are, for the ledger.

    Raises:
        Retryable: the service, the store or the ledger does not answer.
        LeaseHeld: another run took the day meanwhile.
    """
    if entry.status != "SUBMITTED" or entry.job_id is None:
        return entry
    state = submitter.look(entry.job_id)
    if state not in ENDED:
        return entry
    key = receipt_key(entry.tenant, entry.day, str(entry.run_id))
    receipt = read_receipt(output, key)
    if receipt is None:
        ledger.fail(entry.lease, f"job {entry.job_id} of {submitter.name} ended as {state} and left no receipt")
    else:
        ledger.complete(entry.lease, receipt, receipt_key=key, output_path=output_path)
    return ledger.find(entry.tenant, entry.day) or entry


def read_receipt(output: ObjectStore, key: str) -> Receipt | None:
    """The receipt of a run; None when the run has written none."""
    try:
        stored = output.get(key).bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(bytes(stored), type=Receipt)
