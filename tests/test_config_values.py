import pytest

from sglite.config import EngineConfig
from sglite.config_values import (
    attention_backend_pair,
    device_type,
    read_attention_backends,
    read_device,
    why_no_attention,
    why_no_kv_dtype,
    why_no_quantization,
)
from sglite.errors import ConfigError


@pytest.mark.parametrize("text", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices_are_read_as_they_are(text):
    assert read_device(text) == text
    assert EngineConfig(device=text).device == text


@pytest.mark.parametrize(
    "text", ["", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cpu:0", "tpu"]
)
def test_other_devices_are_refused(text):
    assert read_device(text) is None
    with pytest.raises(ConfigError, match="device: .* is not allowed; give one of auto, cpu, cuda"):
        EngineConfig(device=text)


def test_a_number_has_one_spelling():
    assert read_device("cuda:01") == "cuda:1"


def test_the_kind_of_a_device():
    assert [device_type(each) for each in ("cpu", "cuda", "cuda:3")] == ["cpu", "cuda", "cuda"]


@pytest.mark.parametrize(
    ("text", "value", "pair"),
    [
        ("auto", "auto", ("auto", "auto")),
        ("fi", "flashinfer", ("flashinfer", "flashinfer")),
        ("fa,fi", "fa3,flashinfer", ("fa3", "flashinfer")),
        ("fa3, triton", "fa3,triton", ("fa3", "triton")),
        ("sdpa", "torch", ("torch", "torch")),
    ],
)
def test_attention_backends_are_read_alone_or_in_pairs(text, value, pair):
    assert read_attention_backends(text) == value
    assert EngineConfig.from_kwargs(attn=text).attention_backend == value
    assert attention_backend_pair(value) == pair


@pytest.mark.parametrize("text", ["", "fi,", "fa,fi,fi", "cudnn", "triton;torch"])
def test_other_attention_backends_are_refused(text):
    assert read_attention_backends(text) is None
    with pytest.raises(ConfigError, match="attention_backend: .*, or two as PREFILL,DECODE$"):
        EngineConfig(attention_backend=text)


@pytest.mark.parametrize("option", ["attention_backend", "decode_attention_backend"])
def test_attention_backends_of_others_are_refused_as_that(option):
    with pytest.raises(ConfigError, match=f"^{option}: fa4 is not supported yet; give auto, trit"):
        EngineConfig(**{option: "fa4"})


def test_nothing_is_said_of_values_that_nobody_knows():
    reasons = (why_no_attention, why_no_kv_dtype, why_no_quantization)
    assert [reason("nonsense") for reason in reasons] == [None] * 3
    assert [
        bool(reason(value))
        for reason, value in zip(reasons, ("fa,trtllm", "int4", "awq"), strict=True)
    ] == [True] * 3
