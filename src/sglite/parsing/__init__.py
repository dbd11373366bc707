"""From a model's text to what its caller gets: thoughts, words, and calls of tools.

A parser is a small scanner that reads text once, in any pieces (R7). What it cannot make sense of
is text.
"""
