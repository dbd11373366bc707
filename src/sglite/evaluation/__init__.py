"""How much of a list of questions a model answers as expected: `sglite eval`.

Step: none of the 8, a tool beside them · receives: a file of instances and an open ``LLM`` ·
hands on: counts per kind, and how often a draft model agrees ·
does not know about: the command line, pages and steps.
"""
