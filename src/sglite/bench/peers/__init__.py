"""Engines to compare: one file each, with a class ``Peer``.

The Python of that engine's environment runs these files, which therefore import the standard
library and that engine alone, never sglite (but for ``own``, which is sglite).
"""
