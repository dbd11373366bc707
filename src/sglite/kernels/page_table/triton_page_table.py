"""Updates of a page table: one lane each."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 128


def update_page_table(table_WP: torch.Tensor, updates_U3: torch.Tensor) -> None:
    """See the package."""
    num_updates = len(updates_U3)
    if num_updates:
        update_kernel[(triton.cdiv(num_updates, BLOCK),)](
            table_WP, updates_U3, num_updates, table_WP.stride(0), BLOCK=BLOCK
        )


@triton.jit(do_not_specialize=["num_updates"])
def update_kernel(table, updates, num_updates, table_stride, BLOCK: tl.constexpr):
    """Some triples (row, index, page)."""
    update = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_update = update < num_updates
    row = tl.load(updates + 3 * update, mask=is_update, other=-1)
    is_update &= row >= 0
    index = tl.load(updates + 3 * update + 1, mask=is_update, other=0)
    page = tl.load(updates + 3 * update + 2, mask=is_update, other=0)
    tl.store(table + row.to(tl.int64) * table_stride + index, page, mask=is_update)
