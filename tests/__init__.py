"""The test suite.

unit mirrors the library. integration has tests of several modules with real servers or Spark, e2e nights on the local
clouds, operations and deployment. properties has property-based tests and the fuzzer, oracle an independent
implementation of docs/rules.md, support the helpers, data the cases, and local_cloud the emulators of both clouds.
"""
