"""Each kind of runs goes to its own backend, and the tokens stay in order."""

from __future__ import annotations

import torch

from sglite.attention import attention
from sglite.attention.parted import Part, PartedAttention
from sglite.attention.torch_backend import TorchBackend
from tests.attention.backend_harness import SCALE, Step, expected, make_buffers, stage
from tests.kernels.paged_attention.cases import Runs, make_inputs

DECODES = [(1, 9), (1, 1), (1, 30)]
CHUNKS = [(5, 5), (3, 12)]
MIXED = make_inputs(Runs("mixed", DECODES + CHUNKS), gqa_ratio=2, dtype=torch.float32)


class Recorded:
    """A bound attention that writes a number, and says how many tokens it was given."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.seen: list[tuple[int, float, float | None]] = []

    def prepare(self) -> None:
        """Nothing to share."""

    def attend(self, q_TND, kv_layer, out_TND, *, scale, softcap) -> None:
        self.seen.append((len(q_TND), scale, softcap))
        out_TND.fill_(self.value)


def part_of_torch(begin_run: int, end_run: int) -> Part:
    """The torch backend over some runs of the mixed step."""
    metadata = MIXED.metadata
    backend = TorchBackend(page_size=metadata.page_size)
    runs = Step.of(MIXED).runs
    begin, end = metadata.run_offsets[begin_run], metadata.run_offsets[end_run]
    runs = type(runs)(
        runs.rows_R[begin_run:end_run],
        runs.offsets[begin_run : end_run + 1] - begin,
        runs.seq_lens_R[begin_run:end_run],
        runs.page_table_WP,
        0,
    )
    buffers = make_buffers(backend, end_run - begin_run)
    stage(backend.plan(runs), buffers)
    bound = backend.bind(buffers, Step.of(MIXED).page_table_WP)
    bound.prepare()
    return Part(begin, end, bound)


def make_parted(parts: list[Part]) -> PartedAttention:
    metadata = MIXED.metadata
    return PartedAttention(metadata.out_slots_T, metadata.run_offsets, metadata.seq_lens, parts)


def test_decodes_and_chunks_attend_apart_as_they_would_together():
    parted = make_parted([part_of_torch(0, 3), part_of_torch(3, 5)])
    actual = attention(MIXED.q_TND, parted, MIXED.kv_layer, scale=SCALE)
    torch.testing.assert_close(actual, expected(MIXED), atol=2e-5, rtol=2e-5)


def test_every_part_gets_its_tokens_and_the_scores():
    parts = [Part(0, 3, Recorded(1.0)), Part(3, 11, Recorded(2.0))]
    out_TND = attention(MIXED.q_TND, make_parted(parts), MIXED.kv_layer, scale=0.5, softcap=7.0)
    assert out_TND.shape == MIXED.q_TND.shape
    assert out_TND[:, 0, 0].tolist() == [1.0] * 3 + [2.0] * 8
    assert [part.attention.seen for part in parts] == [[(3, 0.5, 7.0)], [(8, 0.5, 7.0)]]
