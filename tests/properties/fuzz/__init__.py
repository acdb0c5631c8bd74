"""Days from a mutator that knows the structure of records, run through the kernel and compared with tests/oracle."""
