from __future__ import annotations

import pytest
import torch

from sglite.attention.backend import AttentionShape
from sglite.bench.gpu_suite.attention_backends import (
    LAUNCHES,
    OtherLaunch,
    all_backends,
    decode_launches,
    launched,
)

CPU = torch.device("cpu")
SHAPE = AttentionShape(
    num_heads=4, num_kv_heads=2, head_dim=32, page_size=64, dtype=torch.float32, scale=1.0
)


@pytest.mark.parametrize("kind", ["decode", "prefill"])
def test_without_a_gpu_there_are_torch_and_the_reference_of_triton(kind):
    made = {name: make() for name, make in all_backends(CPU, SHAPE, kind).items()}
    assert [backend.name for backend in made.values()] == list(made) == ["triton", "torch"]
    assert decode_launches(CPU, SHAPE) == {}


@pytest.mark.parametrize("changes", LAUNCHES.values(), ids=LAUNCHES)
def test_other_launches_are_those_of_the_kernel_while_it_runs(changes):
    triton_attention = pytest.importorskip("sglite.kernels.paged_attention.triton_attention")
    own = triton_attention.launch_of
    seen = []

    class Inner:
        capacities = plan = prepare = staticmethod(lambda *_: {})

        def bind(self, staged, page_table_WP):
            return self

        def attend(self, *_, scale, softcap):
            seen.append(
                triton_attention.launch_of(Work(), torch.empty(1, 1, 128, dtype=torch.bfloat16))
            )

    class Work:
        is_causal = False

    bound = OtherLaunch(Inner(), changes).bind({}, torch.empty(0))
    bound.attend(None, None, None, scale=1.0, softcap=None)
    usual = own(Work(), torch.empty(1, 1, 128, dtype=torch.bfloat16))
    assert {name: getattr(seen[0], name) for name in changes} == changes
    assert seen[0] != usual
    assert triton_attention.launch_of is own


def test_a_launch_that_fails_is_undone():
    triton_attention = pytest.importorskip("sglite.kernels.paged_attention.triton_attention")
    own = triton_attention.launch_of
    with pytest.raises(RuntimeError), launched({"num_warps": 8}):
        raise RuntimeError
    assert triton_attention.launch_of is own
