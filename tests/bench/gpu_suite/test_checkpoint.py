from __future__ import annotations

import torch

from sglite.bench.gpu_suite.checkpoint import write_checkpoint
from sglite.bench.gpu_suite.driving import model_directory
from sglite.bench.gpu_suite.shapes import tiny
from sglite.models.loader import load_model


def test_checkpoint_loads_and_holds_the_weights_of_its_names(make_suite):
    directory = model_directory(make_suite("parity"), tiny("qwen2"))
    write_checkpoint(directory, torch.float32)
    stored = load_model(directory, dtype="float32").model
    dummy = load_model(directory, dtype="float32", load_format="dummy").model
    pairs = zip(stored.parameters(), dummy.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
