"""An attention backend in a few lines of torch, with a fault where a test wants one."""

from __future__ import annotations

import torch

from sglite.attention.backend import AttentionShape, HostRuns


class WholePages:
    """Gathers the keys of each run and attends token by token."""

    name = "double"
    can_capture = False
    keys_too_many = 0

    def __init__(self, sizes: AttentionShape) -> None:
        self.sizes = sizes

    def capacities(self, num_runs: int) -> dict[str, int]:
        return {"rows": num_runs, "seq_lens": num_runs, "offsets": num_runs + 1}

    def plan(self, runs: HostRuns):
        return {"rows": runs.rows_R, "seq_lens": runs.seq_lens_R, "offsets": runs.offsets}

    def bind(self, staged, page_table_WP):
        self.staged, self.table = staged, page_table_WP
        return self

    def prepare(self) -> None:
        """Nothing is shared."""

    def attend(self, q_TND, kv_layer, out_TND, *, scale, softcap) -> None:
        size, offsets = self.sizes.page_size, self.staged["offsets"].tolist()
        lengths = self.staged["seq_lens"].tolist()
        for run, row in enumerate(self.staged["rows"].tolist()):
            begin, end = offsets[run], offsets[run + 1]
            for token in range(begin, end):
                last = lengths[run] - (end - token) + 1 + self.keys_too_many
                first = 0 if self.sizes.window is None else max(0, last - self.sizes.window)
                keys = torch.arange(first, last)
                slots = self.table[row].long()[keys // size] * size + keys % size
                group = self.sizes.num_heads // self.sizes.num_kv_heads
                k, v = (
                    x[slots].repeat_interleave(group, 1).float()
                    for x in (kv_layer.k_SKD, kv_layer.v_SKD)
                )
                scores = torch.einsum("nd,snd->ns", q_TND[token].float(), k) * scale
                if softcap is not None:
                    scores = softcap * (scores / softcap).tanh()
                mixed = torch.einsum("ns,snd->nd", scores.softmax(-1), v)
                out_TND[token] = mixed.to(out_TND.dtype)
