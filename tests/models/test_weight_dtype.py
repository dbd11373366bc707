import pytest
import torch

from sglite.errors import ConfigError
from sglite.models.weight_dtype import cpu_has_bfloat16, natural_kv_dtype, resolve_dtype


def test_auto_takes_the_checkpoints_type_where_the_cpu_can():
    for name in ("bfloat16", "float16", "float32"):
        chosen = resolve_dtype("auto", name, device="cpu", has_bfloat16=True)
        assert chosen == getattr(torch, name)
    assert resolve_dtype("auto", None, device="cpu", has_bfloat16=True) == torch.bfloat16


def test_auto_is_float32_on_a_cpu_without_bfloat16():
    assert resolve_dtype("auto", "bfloat16", device="cpu", has_bfloat16=False) == torch.float32
    assert resolve_dtype("auto", "bfloat16", device="cuda:0") == torch.bfloat16


def test_a_named_type_wins():
    assert resolve_dtype("float16", "bfloat16", device="cpu", has_bfloat16=False) == torch.float16
    with pytest.raises(ConfigError, match="'int4'"):
        resolve_dtype("int4", None, device="cpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd bf16\n", True),
        ("Features\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_the_cpu_is_asked(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert cpu_has_bfloat16(tmp_path / "cpuinfo") is expected


def test_a_system_without_cpuinfo_has_no_bfloat16(tmp_path):
    assert not cpu_has_bfloat16(tmp_path / "gone")


@pytest.mark.parametrize(
    ("option", "checkpoint", "activations", "expected"),
    [
        ("auto", "bfloat16", torch.float32, torch.bfloat16),  # a CPU without bfloat16
        ("auto", "bfloat16", torch.bfloat16, torch.bfloat16),
        ("auto", "float32", torch.float32, torch.float32),
        ("auto", "float16", torch.float32, torch.float32),
        ("auto", None, torch.float32, torch.float32),
        ("float32", "bfloat16", torch.float32, torch.float32),
        ("float16", "bfloat16", torch.float16, torch.float16),
    ],
)
def test_only_the_lack_of_bfloat16_keeps_keys_narrower_than_activations(
    option, checkpoint, activations, expected
):
    assert natural_kv_dtype(option, checkpoint, activations) is expected
