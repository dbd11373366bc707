"""Attention by FlashInfer (Ye et al. 2025) where it is installed.

FlashInfer plans on the host by itself: its ``plan()`` divides the work of a step among the
multiprocessors and enqueues the copy of that plan, by which all layers then run. An eager step does
that in ``prepare``. A captured one does it before each replay, and only fills in its page ids in
``prepare``, for page tables change within the graph.

Always its kernels called fa2: those called fa3 are slower in decode. Its tensor cores pay from four
query heads per KV head on.

Shape legend: T tokens of the kind, R runs of the kind, W rows of the executor, P pages of a row.
"""

from __future__ import annotations

import importlib
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

    Single tokens can be captured: a wrapper per number of runs keeps its arrays in place then. All
    eager steps share a wrapper.
    """

    name = "flashinfer"

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
        self._captured: dict[int, CapturedDecode] = {}
        self._planned: HostPlan | None = None

    def capacities(self, num_runs: int) -> dict[str, int]:
        """A word per run and array."""
        return {"first_entries": num_runs, "num_pages": num_runs}

    def plan(self, runs: HostRuns) -> dict[str, Int32Array]:
        """Each run's visible pages; FlashInfer plans here for a replay, else in ``prepare``."""
        page_size = self._shape.page_size
        spans = page_spans(runs, page_size=page_size, window=self._shape.window)
        page_starts = np.zeros_like(runs.offsets)
        np.cumsum(spans.num_pages_R, out=page_starts[1:])
        last_page_lens_R = spans.seq_lens_R - (spans.num_pages_R - 1) * page_size
        step = HostPlan(
            torch.from_numpy(runs.offsets.copy()),
            torch.from_numpy(page_starts),
            torch.from_numpy(last_page_lens_R.astype(np.int32)),
        )
        if not runs.is_replayed:
            self._planned = step
        elif len(runs.rows_R) in self._captured:
            self._captured[len(runs.rows_R)].plan(step)
        return {"first_entries": spans.first_entries_R, "num_pages": spans.num_pages_R}

    def bind(
        self, staged: dict[str, torch.Tensor], page_table_WP: torch.Tensor
    ) -> EagerRuns | CapturedDecode:
        """See :class:`AttentionBackend`."""
        step, self._planned = self._planned, None
        if step is not None:
            return EagerRuns(self._eager, self._shape, staged, page_table_WP, step)
        assert self.can_capture, "chunks have no fixed arrays"
        num_runs = len(staged["num_pages"])
        indptr, page_ids, last_page_lens = (
            torch.zeros(count, dtype=torch.int32, device=page_table_WP.device)
            for count in (num_runs + 1, num_runs * page_table_WP.shape[1], num_runs)
        )
        wrapper = self._make_wrapper(
            use_cuda_graph=True,
            paged_kv_indptr_buffer=indptr,
            paged_kv_indices_buffer=page_ids,
            paged_kv_last_page_len_buffer=last_page_lens,
        )
        planner = Planner(wrapper, self._kind, self._shape, page_table_WP.device)
        bound = CapturedDecode(planner, self._shape, staged, page_table_WP, page_ids)
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


class Planner:
    """A wrapper of FlashInfer, and its ``plan()`` for one kind of runs.

    The wrapper writes a plan to pinned memory of its own and enqueues the copy. The next plan must
    not overwrite it before that copy is done, so it is waited for. It stands behind the step before
    last, which an executor with two steps in flight has waited for anyway.
    """

    def __init__(
        self, wrapper: Any, kind: Kind, shape: AttentionShape, device: torch.device
    ) -> None:
        self._wrapper = wrapper
        self._kind = kind
        self._shape = shape
        self._copied: Any = None
        if device.type == "cuda":
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def plan(self, step: HostPlan, page_ids: torch.Tensor) -> None:
        """Divide the work of ``step`` over its pages, whose ids are on the device."""
        shape = self._shape
        if self._copied is not None:
            self._copied.synchronize()
        chunks: dict[str, Any] = {"causal": True} if self._kind == "prefill" else {}
        offsets = (step.offsets,) if self._kind == "prefill" else ()
        self._wrapper.plan(
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

    def run(self, q_TND: torch.Tensor, kv_layer: KVLayer, out_TND: torch.Tensor) -> None:
        """Attend by the last plan."""
        page_size = self._shape.page_size
        pages = (as_pages(kv_layer.k_SKD, page_size), as_pages(kv_layer.v_SKD, page_size))
        self._wrapper.run(q_TND, pages, out=out_TND)


class _Bound:
    """What both kinds of steps have: their spans on the device, and their layers."""

    def __init__(
        self,
        planner: Planner,
        shape: AttentionShape,
        staged: dict[str, torch.Tensor],
        page_table_WP: torch.Tensor,
    ) -> None:
        self._planner = planner
        self._scores = (shape.scale, shape.softcap)
        self._staged = staged
        self._page_table_WP = page_table_WP

    def _gather(self, num_runs: int, size: int) -> torch.Tensor:
        first_entries_R = self._staged["first_entries"][:num_runs]
        num_pages_R = self._staged["num_pages"][:num_runs]
        return gather_page_ids(self._page_table_WP, first_entries_R, num_pages_R, size)

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
        given = (scale, softcap)
        assert given == self._scores, f"planned for scale and softcap {self._scores}, not {given}"
        self._planner.run(q_TND, kv_layer, out_TND)


class EagerRuns(_Bound):
    """The runs of one step."""

    def __init__(
        self,
        planner: Planner,
        shape: AttentionShape,
        staged: dict[str, torch.Tensor],
        page_table_WP: torch.Tensor,
        step: HostPlan,
    ) -> None:
        super().__init__(planner, shape, staged, page_table_WP)
        self._step = step

    def prepare(self) -> None:
        """Gather the page ids and have FlashInfer plan."""
        num_runs = len(self._step.last_page_lens_R)
        self._planner.plan(self._step, self._gather(num_runs, self._step.num_pages))


class CapturedDecode(_Bound):
    """As many single tokens in every replay: R. ``page_ids`` int32 ``[R * P]`` are the wrapper's.

    To begin with, planned for sequences of one key.
    """

    def __init__(
        self,
        planner: Planner,
        shape: AttentionShape,
        staged: dict[str, torch.Tensor],
        page_table_WP: torch.Tensor,
        page_ids: torch.Tensor,
    ) -> None:
        super().__init__(planner, shape, staged, page_table_WP)
        self._page_ids = page_ids
        self._num_runs = len(staged["num_pages"])
        counting = torch.arange(self._num_runs + 1, dtype=torch.int32)
        self.plan(HostPlan(counting, counting, torch.ones(self._num_runs, dtype=torch.int32)))

    def plan(self, step: HostPlan) -> None:
        """Have FlashInfer plan the next replay: its page ids are still to be filled in."""
        self._planner.plan(step, self._page_ids[: step.num_pages])

    def prepare(self) -> None:
        """Fill in the page ids, as the page table has them now."""
        self._page_ids.copy_(self._gather(self._num_runs, len(self._page_ids)))
