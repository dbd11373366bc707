"""Batches in pieces give what the decoder gives, whatever was in the buffers before."""

from __future__ import annotations

import pytest
import torch

from sglite.models.decoder import Decoder
from sglite.models.piecewise_decoder import PiecewiseDecoder, bucket_sizes
from sglite.models.random_weights import random_weight
from sglite.models.registry import spec_from_hf
from tests.device_double import LazyDevice, RecordingDevice
from tests.model_harness import PagedSequences
from tests.models.configs import make_hf_config

CONTEXT_LENGTH = 256
VOCAB_SIZE = 128

FAMILIES = {
    "llama": ("LlamaForCausalLM", {}),
    "qwen2": ("Qwen2ForCausalLM", {}),
    "qwen3": ("Qwen3ForCausalLM", {"head_dim": 16}),
    "mistral": ("MistralForCausalLM", {"sliding_window": 11}),
    "two-groups": (
        "Qwen2ForCausalLM",
        {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 2},
    ),
}


def make_decoder(family: str = "llama", *, dtype=torch.float32, **changes) -> Decoder:
    architecture, settings = FAMILIES[family]
    settings = {"num_hidden_layers": 3, "max_position_embeddings": CONTEXT_LENGTH} | settings
    hf_config = make_hf_config(architecture, **(settings | changes))
    decoder = Decoder(spec_from_hf(hf_config), dtype=dtype)
    for name, target in decoder.load_plan().items():
        decoder.write(name, target, random_weight(name, target.shape))
    return decoder


class Pair:
    """The same steps for a decoder and for its pieces, each over a pool of its own."""

    def __init__(self, decoder, device, *, max_tokens=64, page_size=4):
        sizes = {"page_size": page_size, "num_pages": 1 + 8 * CONTEXT_LENGTH // page_size}
        self.decoder, self.device = decoder, device
        self.plain = PagedSequences(decoder, **sizes)
        self.in_pieces = PagedSequences(decoder, **sizes)
        self.pieces = PiecewiseDecoder(
            decoder,
            device,
            self.in_pieces.pool,
            max_tokens=max_tokens,
            context_length=CONTEXT_LENGTH,
        )
        self.step_id = 0

    def step(self, lengths: dict[int, int]) -> None:
        """New random tokens for each sequence; the results, and the caches, must be equal."""
        self.step_id += 1
        generator = torch.Generator().manual_seed(self.step_id)
        runs = {
            sequence: torch.randint(VOCAB_SIZE, (length,), generator=generator).tolist()
            for sequence, length in lengths.items()
        }
        expected = self.plain.forward(runs)
        hidden = self.pieces(self.in_pieces.make_batch(runs), self.in_pieces.pool)
        self.device.synchronize()
        torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-4)
        self.check_caches()

    def check_caches(self) -> None:
        """Equal but in the spare page, which comes last, and NaN where nobody wrote."""
        for mine, theirs in zip(self.in_pieces.pool.storage, self.plain.pool.storage, strict=True):
            torch.testing.assert_close(
                mine[:, :, :-1], theirs[:, :, :-1], atol=1e-5, rtol=1e-4, equal_nan=True
            )


@pytest.fixture(params=[LazyDevice, RecordingDevice], ids=["lazy", "recording"])
def device(request) -> LazyDevice:
    return request.param()


@pytest.mark.parametrize("family", FAMILIES)
def test_growing_sequences_in_ragged_batches_agree(family, device):
    pair = Pair(make_decoder(family), device)
    assert len(pair.plain.groups) == (2 if family == "two-groups" else 1)

    pair.step({0: 13})
    pair.step({0: 1, 1: 20})
    pair.step({1: 1, 0: 1})
    pair.step({0: 1, 1: 5, 2: 33})
    pair.step({2: 64})
    pair.step({0: 2, 1: 1, 2: 3})
    pair.step({1: 1, 2: 1, 3: 90})
    pair.step({3: 7, 0: 1})

    assert device.num_captures == 3 * 4, "three buckets, four pieces"


@pytest.mark.parametrize("num_tokens", [1, 15, 16, 17, 31, 32, 33, 64, 65])
def test_edges_of_the_buckets_agree_and_choose_the_right_one(num_tokens):
    device = LazyDevice()
    pair = Pair(make_decoder(), device)

    pair.step({0: num_tokens})

    assert device.num_replays == (4 if num_tokens <= 64 else 0)
    assert len(pair.pieces._graphs) == (1 if num_tokens <= 64 else 0)


def test_a_full_bucket_before_a_small_batch_leaves_nothing_behind(device):
    pair = Pair(make_decoder("two-groups"), device)

    for lengths in ({0: 32}, {1: 17}, {0: 1, 1: 16}, {2: 31, 1: 1}, {0: 20}):
        pair.step(lengths)

    assert list(pair.pieces._graphs) == [32]


def test_a_capture_that_does_the_work_does_not_touch_an_earlier_batch():
    device = RecordingDevice()
    pair = Pair(make_decoder(), device)
    pair.step({0: 60})
    pair.step({1: 9})
    pair.step({2: 30})
    pair.step({0: 1, 1: 1, 2: 1})

    assert sorted(pair.pieces._graphs) == [16, 32, 64]


def test_garbage_in_the_spare_page_and_in_padding_does_not_leak(device):
    pair = Pair(make_decoder(), device)
    pair.step({0: 30})
    buffers = pair.pieces._buffers
    for tensor in (buffers.hidden_ME, buffers.q_MND, buffers.attended_MND, buffers.normed_ME):
        tensor.fill_(float("nan"))
    for storage in pair.in_pieces.pool.storage:
        storage[:, :, -1] = float("nan")

    pair.step({0: 3, 1: 14})


def test_several_batches_may_be_enqueued_before_anybody_waits(device):
    pair = Pair(make_decoder(), device)
    pair.pieces.capture_all()
    device.synchronize()
    expected, kept = [], []
    for start in range(3):
        runs = {0: [start + 1] * 5, 1: [start + 2] * (9 * start + 1)}
        expected.append(pair.plain.forward(runs))
        hidden = pair.pieces(pair.in_pieces.make_batch(runs), pair.in_pieces.pool)
        result = torch.empty_like(hidden)
        device.run(lambda hidden=hidden, result=result: result.copy_(hidden))
        kept.append(result)
    device.synchronize()

    torch.testing.assert_close(kept, expected, atol=1e-5, rtol=1e-4)


def test_all_buckets_are_captured_at_once_the_largest_first(device):
    pair = Pair(make_decoder(), device)
    counts = []
    pair.pieces.capture_all(counts.append)

    assert counts == [1, 1, 1]
    assert list(pair.pieces._graphs) == [64, 32, 16]
    assert pair.pieces.buckets == (16, 32, 64)
    device.synchronize()
    captures = device.num_captures
    for length in (5, 20, 60):
        pair.step({0: length})
    assert device.num_captures == captures == 12


@pytest.mark.parametrize(
    ("max_tokens", "sizes"),
    [(1, [16]), (16, [16]), (17, [16, 32]), (512, [16, 32, 64, 128, 256, 512]), (9999, None)],
)
def test_bucket_sizes_are_powers_of_two_up_to_512(max_tokens, sizes):
    assert bucket_sizes(max_tokens) == (sizes or bucket_sizes(512))


def test_a_longer_context_than_the_first_table_is_complete_before_a_capture(device):
    decoder = make_decoder(max_position_embeddings=4096)
    sequences = PagedSequences(decoder, page_size=16, num_pages=140)
    plain = PagedSequences(decoder, page_size=16, num_pages=140)
    pieces = PiecewiseDecoder(decoder, device, sequences.pool, max_tokens=32, context_length=2048)
    for length in (10, 1990, 20):
        runs = {0: [token % 100 for token in range(length)]}
        hidden = pieces(sequences.make_batch(runs), sequences.pool)
        device.synchronize()
        torch.testing.assert_close(hidden, plain.forward(runs), atol=1e-5, rtol=1e-4)


def test_a_model_whose_rotation_depends_on_the_length_is_not_captured():
    device = LazyDevice()
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    decoder = make_decoder(max_position_embeddings=32, rope_parameters=rope)
    assert decoder.spec.rope.depends_on_length
    pair = Pair(decoder, device)
    pair.pieces.capture_all()
    pair.step({0: 10})
    pair.step({0: 40, 1: 2})

    assert pair.pieces.buckets == ()
    assert device.num_captures == device.num_replays == 0


def test_another_pool_is_refused():
    pair = Pair(make_decoder(), LazyDevice())

    with pytest.raises(AssertionError, match="another KV pool"):
        pair.pieces(pair.in_pieces.make_batch({0: [1]}), pair.plain.pool)


def test_pieces_of_another_layer_would_be_noticed():
    device = LazyDevice()
    pair = Pair(make_decoder("two-groups"), device)
    pair.pieces._group_of_layer = [0, 0, 0]

    with pytest.raises(AssertionError):
        pair.step({0: 30})
        pair.step({0: 3})
