"""The choice of attention backends, as a table."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace

import pytest
import torch

from sglite.attention import choose
from sglite.attention.backend import AttentionShape
from sglite.attention.choose import (
    AttentionFacts,
    choose_backends,
    installed_backends,
    make_backend,
)
from sglite.attention.fa3_backend import MODULES as FA3_MODULES
from sglite.attention.fa3_backend import FA3Backend
from sglite.attention.flashinfer_backend import FlashInferBackend
from sglite.attention.torch_backend import TorchBackend
from sglite.errors import ConfigError
from tests.attention.library_doubles import FlashAttention3, FlashInfer

EVERYTHING = frozenset({"triton", "flashinfer", "fa3", "torch"})
TRITON = frozenset({"triton", "torch"})
H200 = AttentionFacts(
    device_type="cuda",
    capability=(9, 0),
    installed=EVERYTHING,
    head_dim=128,
    dtype=torch.bfloat16,
    kv_dtype=torch.bfloat16,
)
A100 = replace(H200, capability=(8, 0))
T4 = replace(H200, capability=(7, 5))
CPU = replace(H200, device_type="cpu", capability=None)
SHAPE = AttentionShape(
    num_heads=4, num_kv_heads=2, head_dim=64, page_size=16, dtype=torch.float16, scale=0.1, window=9
)


SIZES = {"max_seq_len": 4096, "num_multiprocessors": 132}


@pytest.mark.parametrize(
    ("facts", "prefill", "decode"),
    [
        (H200, "fa3", "triton"),
        (replace(H200, installed=TRITON), "triton", "triton"),
        (replace(H200, installed=frozenset({"torch"})), "torch", "torch"),
        (replace(H200, installed=frozenset({"torch", "flashinfer"})), "torch", "torch"),
        (replace(H200, dtype=torch.float32, kv_dtype=torch.float32), "triton", "triton"),
        (replace(H200, kv_dtype=torch.float32), "triton", "triton"),
        (replace(H200, head_dim=100), "triton", "triton"),
        (replace(H200, deterministic=True), "triton", "triton"),
        (replace(H200, kv_dtype=torch.int8), "torch", "torch"),
        (A100, "triton", "triton"),
        (T4, "torch", "torch"),
        (replace(H200, capability=(10, 0)), "triton", "triton"),
        (CPU, "torch", "torch"),
        (replace(CPU, deterministic=True), "torch", "torch"),
        (replace(CPU, device_type="mps"), "torch", "torch"),
    ],
)
def test_auto(facts, prefill, decode):
    chosen = choose_backends("auto", facts)
    assert (chosen.prefill, chosen.decode) == (prefill, decode)
    assert chosen.reasons["prefill"].startswith(f"{prefill}: ")
    assert chosen.reasons["decode"].startswith(f"{decode}: ")
    assert not any("\n" in reason for reason in chosen.reasons.values())


@pytest.mark.parametrize(
    ("options", "prefill", "decode"),
    [
        (("triton", None, None), "triton", "triton"),
        (("fa3,flashinfer", None, None), "fa3", "flashinfer"),
        (("fa3, auto", None, None), "fa3", "triton"),
        (("auto", "torch", None), "torch", "triton"),
        (("triton", None, "flashinfer"), "triton", "flashinfer"),
        (("fa3,fa3", "triton", "torch"), "triton", "torch"),
        (("torch", "auto", "auto"), "fa3", "triton"),
    ],
)
def test_names_and_pairs_and_overrides(options, prefill, decode):
    both, one, other = options
    chosen = choose_backends(both, H200, prefill=one, decode=other)
    assert (chosen.prefill, chosen.decode) == (prefill, decode)


def test_reasons_say_what_was_asked_what_is_best_and_what_is_missing():
    chosen = choose_backends("auto,flashinfer", H200)
    assert "Hopper" in chosen.reasons["prefill"]
    assert chosen.reasons["decode"] == "flashinfer: asked for by name"
    alone = choose_backends("auto", replace(H200, installed=frozenset({"torch"})))
    assert "triton is not installed" in alone.reasons["decode"]


@pytest.mark.parametrize(
    ("name", "facts", "message"),
    [
        ("fa3", A100, "fa3 needs Hopper.*8.0; choose triton"),
        ("fa3", replace(H200, capability=(10, 0)), "fa3 needs Hopper.*10.0"),
        ("fa3", replace(H200, installed=TRITON), "not installed; install flash-attn-3 or sgl-ker"),
        ("fa3", replace(H200, head_dim=512), "head_dim up to 256.*512"),
        ("fa3", replace(H200, head_dim=100), "in eights, not 100"),
        ("fa3", replace(H200, dtype=torch.float32), "dtype float32; choose"),
        ("fa3", replace(H200, kv_dtype=torch.float16), "kv_cache_dtype float16 differs"),
        ("flashinfer", replace(H200, head_dim=80), "head_dim 64, 128, 256, not 80; choose triton"),
        ("flashinfer", replace(H200, installed=TRITON), "install flashinfer-python"),
        ("flashinfer", replace(H200, deterministic=True), "deterministic forbids; choose triton"),
        ("flashinfer", replace(H200, kv_dtype=torch.int8), "kv_cache_dtype int8"),
        ("triton", T4, "compute capability 8.0; this device has.* 7.5"),
        ("triton", CPU, "needs a CUDA device, not cpu; choose torch or auto"),
        ("triton", replace(H200, installed=frozenset({"torch"})), "install triton"),
        ("torch", replace(H200, deterministic=True), "deterministic forbids"),
        ("magic", H200, "'magic' does not exist; choose auto, triton, flashinfer, fa3 or torch"),
    ],
)
def test_what_cannot_run_is_refused_with_a_way_out(name, facts, message):
    with pytest.raises(ConfigError, match=message):
        choose_backends("auto", facts, decode=name)
    with pytest.raises(ConfigError, match="prefill attention backend"):
        choose_backends(f"{name},auto", facts)


def test_nothing_deterministic_is_an_error_not_a_replacement():
    facts = replace(H200, installed=frozenset({"torch"}), deterministic=True)
    with pytest.raises(ConfigError, match=r"no prefill attention backend.*install triton"):
        choose_backends("auto", facts)


def test_three_backends_are_too_many():
    with pytest.raises(ConfigError, match="3 backends"):
        choose_backends("triton,triton,triton", H200)


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ((), {"torch"}),
        (("triton",), {"torch", "triton"}),
        (("flash_attn_interface", "flashinfer"), {"torch", "fa3", "flashinfer"}),
        (("sgl_kernel",), {"torch", "fa3"}),
    ],
)
def test_installed_are_those_whose_module_is_found(monkeypatch, modules, found):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in modules else None)
    assert installed_backends() == found


def test_backends_are_made_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "flashinfer", FlashInfer().module())
    monkeypatch.setitem(sys.modules, FA3_MODULES[0], FlashAttention3().module(FA3_MODULES[0]))
    monkeypatch.setattr(
        choose, "FlashInferBackend", lambda *args: FlashInferBackend(*args, workspace_bytes=16)
    )
    for name, made in (
        ("torch", TorchBackend),
        ("fa3", FA3Backend),
        ("flashinfer", FlashInferBackend),
    ):
        for kind in ("prefill", "decode"):
            backend = make_backend(name, kind, SHAPE, torch.device("cpu"), **SIZES)
            assert isinstance(backend, made) and backend.name == name
            assert backend.can_capture == (kind == "decode" and name != "torch")


@pytest.mark.parametrize("kind", ["decode", "prefill"])
def test_our_own_backend_gets_the_sizes_of_device_and_sequences(kind, monkeypatch):
    made = []
    monkeypatch.setattr(
        choose, "TritonBackend", lambda *args, **options: made.append((args, options))
    )

    make_backend("triton", kind, SHAPE, torch.device("cpu"), **SIZES, deterministic=True)

    options = {**SIZES, "is_decode": kind == "decode", "is_deterministic": True}
    assert made == [((SHAPE,), options)]


@pytest.mark.parametrize(
    ("name", "runs"), [("triton", True), ("fa3", False), ("flashinfer", False)]
)
def test_gpus_that_are_not_nvidia_s_have_our_own_kernels_alone(name, runs):
    amd = replace(H200, capability=None, installed=frozenset({"triton", "flashinfer", "fa3"}))
    reason = choose.why_not(name, amd)
    assert (reason is None) == runs
    assert runs or "made for NVIDIA GPUs; choose triton" in str(reason)
    assert choose_backends("auto", amd).prefill == "triton"
