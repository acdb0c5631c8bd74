"""Days made by a mutator that knows the structure of records, run through the kernel and judged by tests/oracle."""
