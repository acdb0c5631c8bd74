"""The oracle: an independent implementation of docs/rules.md in plain Python.

It takes the bytes of a day's objects and returns what must be published. It shares no code with the kernel, and is
written to be read beside the rules, not to be fast.
"""
