"""Doubles of FlashInfer and FlashAttention 3 that compute, in torch, what their arguments say.

Signatures are the libraries' own (flashinfer-python 0.6.1 and 0.7.2, flash_attn_interface 3.0,
sgl_kernel), as far as sglite may use them: an argument that they do not know is a TypeError here
too. Types and sizes that they check are checked.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch


def attend_keys(
    q_ND: torch.Tensor,
    k_SKD: torch.Tensor,
    v_SKD: torch.Tensor,
    *,
    scale: float,
    softcap: float,
) -> torch.Tensor:
    """One query over all of the keys it is given; no key: zeros."""
    if not len(k_SKD):
        return torch.zeros_like(q_ND)
    group = q_ND.shape[0] // k_SKD.shape[1]
    k_NSD, v_NSD = (
        x.float().repeat_interleave(group, dim=1).transpose(0, 1) for x in (k_SKD, v_SKD)
    )
    scores_NS = torch.einsum("nd,nsd->ns", q_ND.float(), k_NSD) * scale
    if softcap > 0:
        scores_NS = softcap * torch.tanh(scores_NS / softcap)
    return torch.einsum("ns,nsd->nd", scores_NS.softmax(-1), v_NSD).to(q_ND.dtype)


def attend_pages(
    q_TND: torch.Tensor,
    pages: tuple[torch.Tensor, torch.Tensor],
    page_ids: list[int],
    seq_len: int,
    *,
    window_left: int,
    scale: float,
    softcap: float,
) -> torch.Tensor:
    """The queries at the end of a sequence in those pages, each over what it sees."""
    k_SKD, v_SKD = (x[page_ids].flatten(0, 1)[:seq_len] for x in pages)
    assert len(k_SKD) == seq_len, f"{len(page_ids)} pages for {seq_len} keys"
    out_TND = torch.zeros_like(q_TND)
    for index in range(len(q_TND)):
        position = seq_len - len(q_TND) + index
        first = 0 if window_left < 0 else max(0, position - window_left)
        seen = slice(first, position + 1)
        out_TND[index] = attend_keys(
            q_TND[index], k_SKD[seen], v_SKD[seen], scale=scale, softcap=softcap
        )
    return out_TND


def assert_int32(*tensors: torch.Tensor) -> None:
    assert all(x.dtype == torch.int32 and x.stride(-1) == 1 for x in tensors)


class FlashAttention3:
    """``flash_attn_with_kvcache``; ``calls`` keeps what it was given."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def flash_attn_with_kvcache(
        self,
        q: torch.Tensor,
        k_cache: torch.Tensor,
        v_cache: torch.Tensor,
        cache_seqlens: torch.Tensor | None = None,
        page_table: torch.Tensor | None = None,
        cu_seqlens_q: torch.Tensor | None = None,
        max_seqlen_q: int | None = None,
        softmax_scale: float | None = None,
        causal: bool = False,
        window_size: tuple[int, int] = (-1, -1),
        softcap: float = 0.0,
        num_splits: int = 0,
    ) -> torch.Tensor:
        assert cache_seqlens is not None and page_table is not None and softmax_scale is not None
        assert causal, "without it every token would see the whole sequence"
        assert window_size[1] == (-1 if window_size[0] < 0 else 0)
        assert k_cache.stride(-1) == 1 and v_cache.stride(-1) == 1
        assert_int32(cache_seqlens, page_table)
        assert page_table.shape[0] == len(cache_seqlens)
        self.calls.append({"num_splits": num_splits, "page_table": page_table, "q": q})
        lengths = [1] * len(cache_seqlens)
        if cu_seqlens_q is not None:
            assert_int32(cu_seqlens_q)
            assert q.dim() == 3 and len(cu_seqlens_q) == len(cache_seqlens) + 1
            lengths = cu_seqlens_q.diff().tolist()
            assert max_seqlen_q == max(lengths) and min(lengths) >= 0
        else:
            assert q.dim() == 4 and q.shape[:2] == (len(cache_seqlens), 1)
        q_TND = q.flatten(0, -3)
        page_size = k_cache.shape[1]
        out = []
        for run_TND, row, seq_len in zip(
            q_TND.split(lengths), page_table.tolist(), cache_seqlens.tolist(), strict=True
        ):
            out.append(
                attend_pages(
                    run_TND,
                    (k_cache, v_cache),
                    row[: -(-seq_len // page_size)],
                    seq_len,
                    window_left=window_size[0],
                    scale=softmax_scale,
                    softcap=softcap,
                )
            )
        return torch.cat(out).view_as(q)

    def module(self, name: str) -> ModuleType:
        """The library as it would be imported."""
        module = ModuleType(name)
        module.flash_attn_with_kvcache = self.flash_attn_with_kvcache  # type: ignore[attr-defined]
        return module


class PagedWrapper:
    """What both of FlashInfer's wrappers do: they plan, then run any number of times by that."""

    def __init__(self) -> None:
        self.num_plans = 0
        self.planned: dict[str, Any] = {}
        self.fixed: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def keep(
        self,
        offsets: torch.Tensor,
        indptr: torch.Tensor,
        indices: torch.Tensor,
        last_page_len: torch.Tensor,
        **planned: Any,
    ) -> None:
        assert_int32(offsets, indptr, indices, last_page_len)
        assert len(indptr) == len(offsets) == len(last_page_len) + 1
        assert indptr[-1] == len(indices), "pages and their number"
        assert ((last_page_len >= 1) & (last_page_len <= planned["page_size"])).all()
        self.num_plans += 1
        self.planned = {"offsets": offsets.clone(), **planned}
        arrays = (indptr, indices, last_page_len)
        if self.fixed is None:
            self.arrays = tuple(array.clone() for array in arrays)
            return
        assert len(last_page_len) == len(self.fixed[2]), "the batch size is fixed"
        assert len(indices) <= len(self.fixed[1]), "more pages than there is room for"
        for fixed, array in zip(self.fixed, arrays, strict=True):
            fixed[: len(array)] = array
        self.arrays = self.fixed

    def run(
        self,
        q: torch.Tensor,
        paged_kv_cache: tuple[torch.Tensor, torch.Tensor],
        *,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        planned = self.planned
        k_cache, v_cache = paged_kv_cache
        size, heads, dim = planned["page_size"], planned["num_kv_heads"], planned["head_dim"]
        assert k_cache.shape[1:] == v_cache.shape[1:] == (size, heads, dim)
        assert q.shape == (int(planned["offsets"][-1]), planned["num_qo_heads"], dim)
        assert q.dtype == planned["q_data_type"] and k_cache.dtype == planned["kv_data_type"]
        assert out is not None and out.shape == q.shape and out.dtype == q.dtype
        indptr, indices, last_page_len = (array.tolist() for array in self.arrays)
        offsets = planned["offsets"].tolist()
        for run, last in enumerate(last_page_len):
            page_ids = indices[indptr[run] : indptr[run + 1]]
            tokens = slice(offsets[run], offsets[run + 1])
            out[tokens] = attend_pages(
                q[tokens],
                (k_cache, v_cache),
                page_ids,
                (len(page_ids) - 1) * size + last,
                window_left=planned["window_left"],
                scale=planned["sm_scale"],
                softcap=planned["logits_soft_cap"] or 0.0,
            )
        return out


class FlashInfer:
    """The package; ``wrappers`` keeps those that were made."""

    def __init__(self) -> None:
        self.wrappers: list[Any] = []
        library = self

        class BatchDecodeWithPagedKVCacheWrapper(PagedWrapper):
            def __init__(
                self,
                float_workspace_buffer: torch.Tensor,
                kv_layout: str = "NHD",
                use_cuda_graph: bool = False,
                use_tensor_cores: bool = False,
                paged_kv_indptr_buffer: torch.Tensor | None = None,
                paged_kv_indices_buffer: torch.Tensor | None = None,
                paged_kv_last_page_len_buffer: torch.Tensor | None = None,
                backend: str = "auto",
            ) -> None:
                super().__init__()
                assert kv_layout == "NHD" and float_workspace_buffer.dtype == torch.uint8
                self.use_tensor_cores, self.backend = use_tensor_cores, backend
                if use_cuda_graph:
                    fixed = (
                        paged_kv_indptr_buffer,
                        paged_kv_indices_buffer,
                        paged_kv_last_page_len_buffer,
                    )
                    assert_int32(*fixed)
                    assert len(fixed[0]) == len(fixed[2]) + 1
                    self.fixed = fixed
                library.wrappers.append(self)

            def plan(
                self,
                indptr: torch.Tensor,
                indices: torch.Tensor,
                last_page_len: torch.Tensor,
                num_qo_heads: int,
                num_kv_heads: int,
                head_dim: int,
                page_size: int,
                pos_encoding_mode: str = "NONE",
                window_left: int = -1,
                logits_soft_cap: float | None = None,
                q_data_type: torch.dtype = torch.float16,
                kv_data_type: torch.dtype | None = None,
                sm_scale: float | None = None,
            ) -> None:
                if not self.use_tensor_cores:
                    assert num_qo_heads // num_kv_heads in (1, 2, 3, 4, 8)
                self.keep(
                    torch.arange(len(indptr), dtype=torch.int32),
                    indptr,
                    indices,
                    last_page_len,
                    num_qo_heads=num_qo_heads,
                    num_kv_heads=num_kv_heads,
                    head_dim=head_dim,
                    page_size=page_size,
                    window_left=window_left,
                    logits_soft_cap=logits_soft_cap,
                    q_data_type=q_data_type,
                    kv_data_type=kv_data_type or q_data_type,
                    sm_scale=sm_scale,
                )

        class BatchPrefillWithPagedKVCacheWrapper(PagedWrapper):
            def __init__(
                self,
                float_workspace_buffer: torch.Tensor,
                kv_layout: str = "NHD",
                backend: str = "auto",
            ) -> None:
                super().__init__()
                assert kv_layout == "NHD" and float_workspace_buffer.dtype == torch.uint8
                self.backend = backend
                library.wrappers.append(self)

            def plan(
                self,
                qo_indptr: torch.Tensor,
                paged_kv_indptr: torch.Tensor,
                paged_kv_indices: torch.Tensor,
                paged_kv_last_page_len: torch.Tensor,
                num_qo_heads: int,
                num_kv_heads: int,
                head_dim_qk: int,
                page_size: int,
                causal: bool = False,
                sm_scale: float | None = None,
                window_left: int = -1,
                logits_soft_cap: float | None = None,
                q_data_type: torch.dtype = torch.float16,
                kv_data_type: torch.dtype | None = None,
            ) -> None:
                assert causal, "without it every token would see the whole sequence"
                self.keep(
                    qo_indptr,
                    paged_kv_indptr,
                    paged_kv_indices,
                    paged_kv_last_page_len,
                    num_qo_heads=num_qo_heads,
                    num_kv_heads=num_kv_heads,
                    head_dim=head_dim_qk,
                    page_size=page_size,
                    window_left=window_left,
                    logits_soft_cap=logits_soft_cap,
                    q_data_type=q_data_type,
                    kv_data_type=kv_data_type or q_data_type,
                    sm_scale=sm_scale,
                )

        self.decode = BatchDecodeWithPagedKVCacheWrapper
        self.prefill = BatchPrefillWithPagedKVCacheWrapper

    def module(self) -> ModuleType:
        """The library as it would be imported."""
        module = ModuleType("flashinfer")
        module.BatchDecodeWithPagedKVCacheWrapper = self.decode  # type: ignore[attr-defined]
        module.BatchPrefillWithPagedKVCacheWrapper = self.prefill  # type: ignore[attr-defined]
        return module
