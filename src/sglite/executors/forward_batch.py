"""What the model sees of a step: token runs, and where their KV lies.

Shape legend: T tokens packed, R runs, P pages of the longest row. See docs/shapes.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from sglite.attention.parted import PartedAttention

FloatArray = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
IntArray = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Int32Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]


@dataclass(slots=True)
class HostGroup:
    """What a step reads and writes of one KV group; as AttentionMetadata, on the host."""

    page_table_RP: Int32Array
    out_slots_T: IntArray


@dataclass(slots=True)
class HostDraws:
    """Which samples of a step draw their next token, and how.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | samples | [draws] | int32 | indices into ``HostBatch.sample_tokens``, ascending |
    | floats | [3, draws] | float32 | temperature (0: the likeliest), top_p, min_p |
    | integers | [3, draws] | int64 | seed, top_k, position of the new token |
    | legal_words | [draws, ceil(V / 32)] | int32 | TokenMasks.words_MW; None: any token is legal |

    Without ``floats`` and ``integers`` every draw is the likeliest token.
    """

    samples: Int32Array
    floats: FloatArray | None = None
    integers: IntArray | None = None
    legal_words: torch.Tensor | None = None

    def check(self, num_samples: int) -> None:
        """Assert the table above; used with ``--check`` and in tests."""
        assert (np.diff(self.samples) > 0).all(), "a sample draws twice"
        assert ((self.samples >= 0) & (self.samples < num_samples)).all(), "no such sample"
        for values in (self.floats, self.integers):
            assert values is None or values.shape == (3, len(self.samples)), "parameters per draw"


@dataclass(slots=True)
class HostBatch:
    """Inputs of one forward pass as arrays of the host.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | input_ids_T, positions_T | [T] | int64 | as ForwardBatch |
    | run_offsets | [R + 1] | int32 | first packed token of each run, then T |
    | seq_lens_R | [R] | int32 | KV length of each row after this step |
    | groups | [groups] | | one HostGroup per KV group |
    | sample_tokens | [samples] | int32 | packed tokens whose logits the step needs |
    | draws | | HostDraws | the samples whose next token is drawn with the step; None: all, and |
    | | | | each is the likeliest |
    """

    input_ids_T: IntArray
    positions_T: IntArray
    run_offsets: Int32Array
    seq_lens_R: Int32Array
    groups: list[HostGroup]
    sample_tokens: Int32Array
    draws: HostDraws | None = None

    def offsets(self) -> list[int]:
        """First packed token of each run, then T."""
        found: list[int] = self.run_offsets.tolist()
        return found

    def check(self, *, vocab_size: int) -> None:
        """Assert the table above; used with ``--check`` and in tests."""
        num_tokens, num_runs = len(self.input_ids_T), len(self.seq_lens_R)
        assert len(self.positions_T) == num_tokens, "a position per token"
        assert self.run_offsets[0] == 0 and self.run_offsets[-1] == num_tokens, "runs fill T"
        assert len(self.run_offsets) == num_runs + 1, "an offset per run, and the end"
        assert self.input_ids_T.min() >= 0, "negative token id in a batch"
        assert self.input_ids_T.max() < vocab_size, "token id beyond the vocabulary"
        for group in self.groups:
            assert len(group.page_table_RP) == num_runs, "a page table row per run"
            assert len(np.unique(group.out_slots_T)) == num_tokens, "two tokens in one slot"
        if self.draws is not None:
            self.draws.check(len(self.sample_tokens))


@dataclass(slots=True)
class AttentionMetadata:
    """The ragged runs of a step as the attention of one KV group reads them.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | page_table_RP | [R, P] | int32 | page ids of each run's row; entries never read are 0 |
    | out_slots_T | [T] | int64 | slot where each new token's K and V are stored |
    | run_offsets | [R + 1] | list | first packed token of each run, then T |
    | seq_lens | [R] | list | KV length of each row after this step |
    | seq_lens_R | [R] | int32 | the same on the device |
    | window | | int or None | keys older than this are not read |
    | kernel_plan | | object | what a kernel derives from the above once for all layers |
    """

    page_table_RP: torch.Tensor
    out_slots_T: torch.Tensor
    run_offsets: list[int]
    seq_lens: list[int]
    seq_lens_R: torch.Tensor
    page_size: int
    window: int | None = None
    kernel_plan: object | None = None


@dataclass(slots=True)
class ForwardBatch:
    """Inputs of one forward pass.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | input_ids_T | [T] | int64 | packed tokens, run after run |
    | positions_T | [T] | int64 | position of each token in its sequence |
    | attention | [groups] | | what attention reads, one per KV group |
    | group_of_layer | [layers] | list | index into ``attention`` |
    | lane_tokens | [lanes] | | with DP-attention the T of each lane's batch, ours among them |
    """

    input_ids_T: torch.Tensor
    positions_T: torch.Tensor
    attention: Sequence[AttentionMetadata | PartedAttention]
    group_of_layer: list[int]
    lane_tokens: Sequence[int] | None = None

    def offsets(self) -> list[int]:
        """First packed token of each run, then T."""
        return list(self.attention[0].run_offsets)

    def on_host(self) -> HostBatch:
        """The same inputs for a model that reads the host's arrays; no token is sampled."""
        groups = self._metadata()
        runs = groups[0]
        return HostBatch(
            self.input_ids_T.numpy(),
            self.positions_T.numpy(),
            np.asarray(runs.run_offsets, dtype=np.int32),
            runs.seq_lens_R.numpy(),
            [HostGroup(g.page_table_RP.numpy(), g.out_slots_T.numpy()) for g in groups],
            np.empty(0, dtype=np.int32),
        )

    def _metadata(self) -> list[AttentionMetadata]:
        """``attention``, of a batch that was laid out on the host."""
        found = [group for group in self.attention if isinstance(group, AttentionMetadata)]
        assert len(found) == len(self.attention), "this batch was laid out for backends"
        return found

    def check(self, *, vocab_size: int) -> None:
        """Assert the table above; used with ``--check`` and in tests."""
        num_tokens = self.input_ids_T.numel()
        assert self.input_ids_T.shape == self.positions_T.shape == (num_tokens,)
        assert self.input_ids_T.dtype == self.positions_T.dtype == torch.int64
        assert int(self.input_ids_T.min()) >= 0, "negative token id in a batch"
        assert int(self.input_ids_T.max()) < vocab_size, "token id beyond the vocabulary"
        for metadata in self._metadata():
            runs = len(metadata.seq_lens)
            assert metadata.run_offsets[0] == 0 and metadata.run_offsets[-1] == num_tokens
            assert len(metadata.run_offsets) == runs + 1
            assert metadata.page_table_RP.shape[0] == runs
            assert metadata.out_slots_T.shape == (num_tokens,)
            slots = set(metadata.out_slots_T.tolist())
            assert len(slots) == num_tokens, "two tokens in one slot"
