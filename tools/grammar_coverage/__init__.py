"""How much of JSON Schema each grammar library covers, by kind of schema.

``kinds/*.json`` are schemas in the manner of the collections that JSONSchemaBench gathers, and one
after the other of the keywords; each has instances that must be accepted and others that must be
refused. Every backend compiles them all and reads every instance; what comes of it is the generated
part of docs/structured-output.md.

    python -m tools.grammar_coverage            measure and rewrite the tables
"""
