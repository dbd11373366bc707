"""Copies of pages: one program for a piece of a page, of one layer, of its keys or values."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 2048


def copy_pages(storage: torch.Tensor, sources_C: torch.Tensor, targets_C: torch.Tensor) -> None:
    """See the package."""
    assert storage.is_contiguous(), "a view of a pool"
    if storage.numel() == 0 or len(sources_C) == 0:
        return
    pages_LX = as_words(storage.flatten(0, 1).flatten(2)).flatten(1)
    num_layers, num_pages = pages_LX.shape[0], storage.shape[2]
    page_words = pages_LX.shape[1] // num_pages
    copy_kernel[(len(sources_C), num_layers, triton.cdiv(page_words, BLOCK))](
        pages_LX, sources_C, targets_C, page_words, num_pages, BLOCK=BLOCK
    )


def as_words(pages: torch.Tensor) -> torch.Tensor:
    """The same memory as the widest integers that a page is a whole number of."""
    page_bytes = pages.shape[-1] * pages.itemsize
    words = (torch.int64, torch.int32, torch.int16, torch.uint8)
    return pages.view(next(word for word in words if page_bytes % word.itemsize == 0))


@triton.jit
def copy_kernel(pages, sources, targets, page_words, num_pages, BLOCK: tl.constexpr):
    """A piece of a page."""
    copy = tl.program_id(0)
    first_page = tl.program_id(1).to(tl.int64) * num_pages
    source = (first_page + tl.load(sources + copy)) * page_words
    target = (first_page + tl.load(targets + copy)) * page_words
    word = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    is_word = word < page_words
    piece = tl.load(pages + source + word, mask=is_word)
    tl.store(pages + target + word, piece, mask=is_word)
