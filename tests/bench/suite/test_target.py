"""What is measured is read from the model's files, and what it cannot take is refused before."""

from __future__ import annotations

import pytest
import torch

from sglite.bench.suite.jobs import all_jobs
from sglite.bench.suite.machine import Rates
from sglite.bench.suite.target import read_target
from sglite.config import EngineConfig
from sglite.make_model import make_model
from tests.cli.real_model import SIZES, make_tiny_model

JOBS = all_jobs()


def test_type_shape_and_options():
    target = read_target(EngineConfig(dtype="bfloat16", page_size=32))
    assert (target.model, target.dtype, target.dtype_name) == (None, torch.bfloat16, "bfloat16")
    model, options = target.engine_options()
    assert model is None and options["page_size"] == 32 and "model_path" not in options
    rates = Rates(read_bytes_per_s=1.0, flop_per_s=1.0)
    # 4,096 x 192 and five layers of 192 x (64 x 2 x (4 + 2) + 3 x 576), two bytes each.
    assert target.floor(rates).weight_bytes == 2 * 192 * (4096 + 5 * (768 + 1728))


@pytest.mark.parametrize(
    ("kv_dtype", "num_bytes"), [("auto", 4), ("bfloat16", 2), ("int8", 68 / 64), ("fp8_e4m3", 1)]
)
def test_floor_reads_kv_as_it_is_stored(kv_dtype, num_bytes):
    target = read_target(EngineConfig(dtype="float32", kv_cache_dtype=kv_dtype))
    assert target.spec.head_dim == 64
    assert target._storage().kv_bytes == num_bytes


def test_what_does_not_fit_the_context_is_refused():
    target = read_target(EngineConfig())
    assert target.why_not(JOBS["W2"], 1) is None
    reason = "W7 needs a context of 2,160 tokens, and this model has 2,048"
    assert target.why_not(JOBS["W7"], 1) == reason
    assert target.why_not(JOBS["W7"], 2) is None
    short = read_target(EngineConfig(context_length=255))
    assert short.why_not(JOBS["W1"], 1).endswith("has 255")
    assert read_target(EngineConfig(context_length=256)).why_not(JOBS["W1"], 1) is None


def test_a_small_vocabulary_is_refused(tmp_path):
    target = read_target(EngineConfig(model_path=make_tiny_model(tmp_path / "m")))
    assert target.why_not(JOBS["W1"], 1).endswith("and this model has 1,024")


@pytest.mark.parametrize(("checkpoint", "weight_bytes"), [("bfloat16", 2), ("float32", 4)])
def test_floor_reads_weights_as_narrow_as_the_checkpoint(tmp_path, checkpoint, weight_bytes):
    directory = make_model(tmp_path / checkpoint, dtype=checkpoint, with_tokenizer=False, **SIZES)
    target = read_target(EngineConfig(model_path=str(directory), dtype="float32", device="cpu"))
    assert (target.weight_bytes, target.dtype.itemsize) == (weight_bytes, 4)
