"""An independent reading of docs/rules.md in plain Python: the bytes of a day's objects in, what must be published out.

It shares no code with the kernel, and is written to be read beside the rules, not to be fast.
"""
