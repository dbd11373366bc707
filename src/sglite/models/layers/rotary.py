"""Rotary position embedding with the scalings of transformers' ``modeling_rope_utils``.

All types but dynamic are a table of cos and sin by position. Dynamic NTK stretches the base with
the length of the sequence, so its angles depend on the run:

- The tokens of a run are rotated for the length that their sequence has after the run, or the
  trained length if that is larger. Keys that were cached before keep the rotation they got.
- That is what transformers does for one sequence with a KV cache, fed in the same pieces, from a
  fresh model. transformers itself is not well-defined beyond it: the length there is that of the
  longest row in the batch, a model remembers the longest sequence it has seen until a shorter one
  than the trained length comes, and one call over all tokens differs from a call per token. Here
  the rows of a batch and earlier requests have no influence.
- Up to the trained length nothing depends on the run. Beyond it, results depend on how a prompt
  was cut into chunks and on which prefix was cached (``RopeSpec.depends_on_length``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from sglite.kernels.rotary_store import Rotation
from sglite.models.spec import RopeSpec

INITIAL_TABLE_ROWS = 1024


class RotaryEmbedding:
    """Computes the :class:`Rotation` of a batch's positions, once per step for all layers."""

    def __init__(
        self,
        spec: RopeSpec,
        *,
        head_dim: int,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        self.spec = spec
        self.head_dim = head_dim
        self.dtype = dtype
        self.device = torch.device(device)
        self._table: torch.Tensor | None = None

    def __call__(
        self, positions_T: torch.Tensor, seq_lens: Sequence[int], run_offsets: Sequence[int]
    ) -> Rotation:
        """Angles at ``positions_T``; run i of ``run_offsets`` belongs to length ``seq_lens[i]``."""
        return Rotation(*self.table_and_rows(positions_T, seq_lens, run_offsets))

    def table_and_rows(
        self, positions_T: torch.Tensor, seq_lens: Sequence[int], run_offsets: Sequence[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A table ``[rows, D]``, cos of all pairs and then sin, and each token's row in it."""
        if self.spec.depends_on_length:
            angles = self._dynamic_angles(positions_T, seq_lens, run_offsets)
            return self._cos_sin(angles), torch.arange(len(positions_T), device=self.device)
        return self.table(max(seq_lens)), positions_T

    def table(self, count: int) -> torch.Tensor:
        """The table ``[>= count, D]`` of cos and sin, doubled when a longer sequence comes.

        Not where the angles depend on the length.
        """
        have = 0 if self._table is None else self._table.shape[0]
        if self._table is None or count > have:
            rows = max(count, 2 * have, INITIAL_TABLE_ROWS)
            positions = torch.arange(rows, dtype=torch.float32)
            angles = positions[:, None] * inverse_frequencies(self.spec, self.head_dim)
            self._table = self._cos_sin(angles).to(self.device)
        return self._table

    def _cos_sin(self, angles: torch.Tensor) -> torch.Tensor:
        factor = self.spec.attention_factor
        return torch.cat((angles.cos() * factor, angles.sin() * factor), dim=-1).to(self.dtype)

    def _dynamic_angles(
        self, positions_T: torch.Tensor, seq_lens: Sequence[int], run_offsets: Sequence[int]
    ) -> torch.Tensor:
        frequencies = torch.stack(
            [dynamic_frequencies(self.spec, self.head_dim, length) for length in seq_lens]
        )
        lengths = torch.tensor(run_offsets).diff()
        frequencies_TD = frequencies.repeat_interleave(lengths, dim=0).to(positions_T.device)
        return positions_T[:, None].float() * frequencies_TD


def inverse_frequencies(spec: RopeSpec, head_dim: int) -> torch.Tensor:
    """Radians per position of each pair, float32 ``[D/2]``; not for the type dynamic."""
    if spec.rope_type == "linear":
        return _plain(spec.theta, head_dim) / spec.factor
    if spec.rope_type == "llama3":
        return _llama3(spec, head_dim)
    if spec.rope_type == "yarn":
        return _yarn(spec, head_dim)
    assert spec.rope_type == "default", f"{spec.rope_type} depends on the sequence's length"
    return _plain(spec.theta, head_dim)


def dynamic_frequencies(spec: RopeSpec, head_dim: int, seq_len: int) -> torch.Tensor:
    """NTK-aware frequencies ``[D/2]``: the base grows with the length, ``seq_len`` tokens."""
    trained = spec.original_context_length
    stretch = spec.factor * max(seq_len, trained) / trained - (spec.factor - 1)
    return _plain(spec.theta * stretch ** (head_dim / (head_dim - 2)), head_dim)


def _plain(theta: float, head_dim: int) -> torch.Tensor:
    return 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)


def _llama3(spec: RopeSpec, head_dim: int) -> torch.Tensor:
    """Keep short wavelengths, divide long ones by the factor, blend those between."""
    frequencies = _plain(spec.theta, head_dim)
    turns = spec.original_context_length * frequencies / (2 * math.pi)
    keep = (turns - spec.low_freq_factor) / (spec.high_freq_factor - spec.low_freq_factor)
    keep = keep.clamp(0, 1)
    return (1 - keep) * frequencies / spec.factor + keep * frequencies


def _yarn(spec: RopeSpec, head_dim: int) -> torch.Tensor:
    """Keep pairs that turn often within the trained length, interpolate those that turn rarely."""
    frequencies = _plain(spec.theta, head_dim)
    low = _pair_with_turns(spec, head_dim, spec.beta_fast)
    high = _pair_with_turns(spec, head_dim, spec.beta_slow)
    if spec.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    width = high - low or 0.001  # a step instead of a division by zero
    ramp = ((torch.arange(head_dim // 2, dtype=torch.float32) - low) / width).clamp(0, 1)
    return frequencies / spec.factor * ramp + frequencies * (1 - ramp)


def _pair_with_turns(spec: RopeSpec, head_dim: int, turns: float) -> float:
    """Index of the pair that makes ``turns`` full turns within the trained length."""
    ratio = spec.original_context_length / (turns * 2 * math.pi)
    return head_dim * math.log(ratio) / (2 * math.log(spec.theta))
