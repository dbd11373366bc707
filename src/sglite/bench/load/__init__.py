"""Load on a server, and what came of it: the parts of ``sglite bench serve``.

``workload`` says what is asked, ``runner`` when, ``dialects`` in which words, ``wire`` carries it,
``figures`` counts, ``report`` and ``chart`` show, ``own_server`` starts a server to measure.
"""
