"""Compiled layers compute what the others compute, for any number of tokens, in pieces as well."""

from __future__ import annotations

import shutil

import pytest
import torch

from sglite.models.compiled import compile_layers
from tests.device_double import LazyDevice
from tests.model_harness import PagedSequences
from tests.models.test_piecewise_decoder import Pair, make_decoder

# torch's compiler warns of its own use of what torch has deprecated.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles for the CPU with g++"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
STEPS = [{0: 5}, {0: 1}, {0: 3, 1: 20}, {0: 1, 1: 1}, {1: 40}]


def tokens_of(lengths: dict[int, int]) -> dict[int, list[int]]:
    return {sequence: list(range(1, 1 + length)) for sequence, length in lengths.items()}


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def run(decoder) -> list[torch.Tensor]:
    """The hidden states of all steps, float32."""
    sequences = PagedSequences(decoder, page_size=4, num_pages=60)
    return [sequences.forward(tokens_of(step)).float() for step in STEPS]


def compiled(decoder):
    compile_layers(decoder)
    return decoder


def test_compiled_layers_give_what_the_others_give():
    expected = run(make_decoder("qwen3"))

    torch.testing.assert_close(run(compiled(make_decoder("qwen3"))), expected, atol=1e-4, rtol=1e-4)


def test_compiled_layers_in_bfloat16_are_as_exact_as_the_others():
    exact = run(make_decoder("qwen3"))

    def mean_error(decoder) -> float:
        steps = zip(run(decoder), exact, strict=True)
        return sum(float((step - right).abs().mean()) for step, right in steps)

    plain = mean_error(make_decoder("qwen3", dtype=torch.bfloat16))
    # What is fused is rounded less often.
    assert mean_error(compiled(make_decoder("qwen3", dtype=torch.bfloat16))) <= 1.2 * plain


def test_layers_share_what_was_compiled():
    decoder = compiled(make_decoder())
    sequences = PagedSequences(decoder, page_size=4, num_pages=60)
    sequences.forward(tokens_of({0: 5}))
    sequences.forward(tokens_of({0: 1}))

    with torch.compiler.set_stance("fail_on_recompile"):
        for step in STEPS:
            sequences.forward(tokens_of(step))


def test_pieces_of_a_compiled_decoder_agree():
    decoder = make_decoder("two-groups")
    pair = Pair(decoder, LazyDevice())
    expected = [pair.plain.forward(tokens_of(step)) for step in STEPS]
    compile_layers(decoder)
    for step, hidden_TE in zip(STEPS, expected, strict=True):
        hidden = pair.pieces(pair.in_pieces.make_batch(tokens_of(step)), pair.in_pieces.pool)
        pair.device.synchronize()
        torch.testing.assert_close(hidden, hidden_TE, atol=1e-4, rtol=1e-4)
