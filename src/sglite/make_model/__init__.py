"""Random-weight checkpoints for tests and benchmarks: `sglite make-model`.

Step: none of the 8, a tool beside them · receives: an architecture, a preset and overrides ·
hands on: a model directory that sglite and transformers load ·
does not know about: the engine, the Decoder, transformers.
"""

from sglite.make_model.checkpoint import make_model

__all__ = ["make_model"]
