"""Attention by FlashInfer (Ye et al. 2025) where it is installed.

FlashInfer plans on the host, too: its ``plan()`` divides the work of a step among the
multiprocessors and enqueues the copy of that plan. Here that happens in ``prepare``, on the
device's stream and outside of a captured graph; all layers run by it.

Always its kernels called fa2: those called fa3 are slower in decode (docs/gpu.md). Its tensor cores
pay from four query heads per KV head on.

Shape legend: T tokens of the kind, R runs of the kind, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

import importlib
from collections import deque
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sglite.attention.backend import AttentionShape, HostRuns, Int32Array, Kind
from sglite.attention.page_spans import as_pages, gather_page_ids, page_spans
from sglite.errors import ConfigError

if TYPE_CHECKING:
    from sglite.kvcache.kv_pool import KVLayer

WORKSPACE_BYTES = 384 << 20
"""Of the parts of divided rows, per backend: 256 rows of 64 heads take 128 MiB and a little."""

TENSOR_CORE_GROUP = 4
"""Query heads per KV head from which the tensor cores are used; its other kernels know 1 to 3."""


def load_library() -> ModuleType:
    """The package; ConfigError where it is not there or cannot be loaded."""
    try:
        return importlib.import_module("flashinfer")
    except (ImportError, OSError) as fault:
        raise ConfigError(
            f"attention_backend flashinfer: FlashInfer cannot be loaded ({fault}). "
            "Install flashinfer-python, or choose attention_backend triton."
        ) from fault


@dataclass(frozen=True, slots=True)
class HostPlan:
    """What FlashInfer's ``plan()`` reads of a step, on the host.

    | field | shape | dtype | meaning |
    |---|---|---|---|
    | offsets | [R + 1] | int32 | first token of each run, then T |
    | page_starts | [R + 1] | int32 | first page of each run among those of all, then their number |
    | last_page_lens_R | [R] | int32 | keys in the last page of each run |
    """

    offsets: torch.Tensor
    page_starts: torch.Tensor
    last_page_lens_R: torch.Tensor

    @property
    def num_pages(self) -> int:
        """Pages of all runs."""
        return int(self.page_starts[-1])


class FlashInferBackend:
    """One kind of runs of one KV group.

    Single tokens can be captured: a wrapper per number of runs then keeps its arrays in place. The
    others share one wrapper, for steps that run once.
    """

    name = "flashinfer"
    prepares_on_host = True

    def __init__(
        self,
        kind: Kind,
        shape: AttentionShape,
        device: torch.device,
        *,
        workspace_bytes: int = WORKSPACE_BYTES,
    ) -> None:
        self.can_capture = kind == "decode"
        self._kind: Kind = kind
        self._library = load_library()
        self._shape = shape
        self._workspace = torch.zeros(workspace_bytes, dtype=torch.uint8, device=device)
        self._eager = Planner(self._make_wrapper(), kind, shape, device)
        self._captured: dict[int, BoundFlashInfer] = {}
        self._planned: HostPlan | None = None
        self._is_replayed = False

    def capacities(self, num_runs: int) -> dict[str, int]:
        """A word per run and array."""
        return {"first_entries": num_runs, "num_pages": num_runs}

    def plan(self, runs: HostRuns) -> dict[str, Int32Array]:
        """Each run's visible pages; the rest is kept for the ``prepare`` that follows."""
        page_size = self._shape.page_size
        spans = page_spans(runs, page_size=page_size, window=self._shape.window)
        page_starts = np.zeros_like(runs.offsets)
        np.cumsum(spans.num_pages_R, out=page_starts[1:])
        last_page_lens_R = spans.seq_lens_R - (spans.num_pages_R - 1) * page_size
        self._planned = HostPlan(
            torch.from_numpy(runs.offsets.copy()),
            torch.from_numpy(page_starts),
            torch.from_numpy(last_page_lens_R.astype(np.int32)),
        )
        self._is_replayed = runs.is_replayed
        bound = self._captured.get(len(runs.rows_R))
        if runs.is_replayed and bound is not None:
            bound.expect(self._planned)
        return {"first_entries": spans.first_entries_R, "num_pages": spans.num_pages_R}

    def bind(self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor) -> BoundFlashInfer:
        """The attention of the step that was planned last, or of all replays of its graph."""
        assert self._planned is not None, "bound before anything was planned"
        planner = self._eager
        if self._is_replayed:
            assert self.can_capture, "chunks have no fixed arrays"
            num_runs = len(self._planned.last_page_lens_R)
            wrapper = self._make_fixed_wrapper(num_runs, num_runs * page_table_WP.shape[1])
            planner = Planner(wrapper, self._kind, self._shape, page_table_WP.device)
        bound = BoundFlashInfer(planner, self._shape, staged, page_table_WP)
        bound.expect(self._planned)
        if self._is_replayed:
            self._captured[num_runs] = bound
        return bound

    def _make_wrapper(self, **fixed: Any) -> Any:
        if self._kind == "prefill":
            return self._library.BatchPrefillWithPagedKVCacheWrapper(
                self._workspace, "NHD", backend="fa2"
            )
        group = self._shape.num_heads // self._shape.num_kv_heads
        return self._library.BatchDecodeWithPagedKVCacheWrapper(
            self._workspace,
            "NHD",
            use_tensor_cores=group >= TENSOR_CORE_GROUP,
            backend="fa2",
            **fixed,
        )

    def _make_fixed_wrapper(self, num_runs: int, max_pages: int) -> Any:
        """A wrapper for always so many single tokens, whose arrays stay where they are."""

        def words(count: int) -> torch.Tensor:
            return torch.zeros(count, dtype=torch.int32, device=self._workspace.device)

        return self._make_wrapper(
            use_cuda_graph=True,
            paged_kv_indptr_buffer=words(num_runs + 1),
            paged_kv_indices_buffer=words(max_pages),
            paged_kv_last_page_len_buffer=words(num_runs),
        )


class Planner:
    """A wrapper of FlashInfer, and its ``plan()`` for one kind of runs.

    The wrapper writes a plan to pinned memory of its own and enqueues the copy. The next plan must
    not overwrite it before that copy is done, so it is waited for. It stands behind the step before
    last, which an executor with two steps in flight has waited for anyway.
    """

    def __init__(
        self, wrapper: Any, kind: Kind, shape: AttentionShape, device: torch.device
    ) -> None:
        self.wrapper = wrapper
        self._kind = kind
        self._shape = shape
        self._copied: Any = None
        if device.type == "cuda":
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def plan(self, step: HostPlan, page_ids: torch.Tensor) -> None:
        """Divide the work of ``step`` over its pages, which are on the device."""
        shape = self._shape
        if self._copied is not None:
            self._copied.synchronize()
        chunks: dict[str, Any] = {"causal": True} if self._kind == "prefill" else {}
        offsets = (step.offsets,) if self._kind == "prefill" else ()
        self.wrapper.plan(
            *offsets,
            step.page_starts,
            page_ids,
            step.last_page_lens_R,
            shape.num_heads,
            shape.num_kv_heads,
            shape.head_dim,
            shape.page_size,
            window_left=-1 if shape.window is None else shape.window - 1,
            logits_soft_cap=shape.softcap,
            sm_scale=shape.scale,
            q_data_type=shape.dtype,
            kv_data_type=shape.dtype,
            **chunks,
        )
        if self._copied is not None:
            self._copied.record()


class BoundFlashInfer:
    """The runs of one step, or of all replays of a captured one."""

    def __init__(
        self,
        planner: Planner,
        shape: AttentionShape,
        staged: dict[str, torch.Tensor],
        page_table_WP: torch.Tensor,
    ) -> None:
        self._planner = planner
        self._shape = shape
        self._staged = staged
        self._page_table_WP = page_table_WP
        self._expected: deque[HostPlan] = deque()
        self._step: HostPlan | None = None

    def expect(self, step: HostPlan) -> None:
        """What the next ``prepare`` is for: it may come when a later step is planned already."""
        self._expected.append(step)

    def prepare(self) -> None:
        """Gather the page ids and have FlashInfer plan; called again for a step, do it again."""
        if self._expected:
            self._step = self._expected.popleft()
        step = self._step
        assert step is not None, "prepared before it was planned"
        num_runs = len(step.last_page_lens_R)
        page_ids = gather_page_ids(
            self._page_table_WP,
            self._staged["first_entries"][:num_runs],
            self._staged["num_pages"][:num_runs],
            step.num_pages,
        )
        self._planner.plan(step, page_ids)

    def attend(
        self,
        q_TND: torch.Tensor,
        kv_layer: KVLayer,
        out_TND: torch.Tensor,
        *,
        scale: float,
        softcap: float | None,
    ) -> None:
        """Write the attended values ``[T, N, D]``; scale and softcap are those of the shape."""
        expected = (self._shape.scale, self._shape.softcap)
        assert (scale, softcap) == expected, f"planned for {expected}, not {(scale, softcap)}"
        page_size = self._shape.page_size
        pages = (as_pages(kv_layer.k_SKD, page_size), as_pages(kv_layer.v_SKD, page_size))
        self._planner.wrapper.run(q_TND, pages, out=out_TND)
