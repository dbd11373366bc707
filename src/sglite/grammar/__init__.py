"""Structured output: what a grammar allows next, exactly, and its shortest way to an end.

    spec  ──backend.compile()──▶  CompiledGrammar  ──start()──▶  Matcher  ──▶  Constraint
    what was asked for            shared, immutable              one per request   + thoughts

Two libraries do the matching, behind the contract in ``backend``.
"""
