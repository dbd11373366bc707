"""From documents to tensors: tokenization with loss masks, packing into rows, batches.

Shapes: B rows of a batch, T tokens of a row. Samples are sorted by length into classes, each with
its own T, so that attention does not pay for the longest. A batch has rows of one class and about
the same number of tokens whichever class it is of.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from training.chat_format import Document, Piece, document_pieces

IGNORED = -100
"""Label of positions without loss, as torch's cross entropy has it."""
ROW_LENGTHS = (128, 256, 512, 1024, 2048)
"""T of the classes; a longer sample is cut at the last."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A tokenized document; `labels[i]` is the token to be predicted *at* i (not shifted yet).

    Both are int32 arrays of the sample's length.
    """

    token_ids: np.ndarray[Any, np.dtype[np.int32]]
    labels: np.ndarray[Any, np.dtype[np.int32]]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def split_spelled(piece: Piece) -> list[str]:
    """The piece cut so that every letter of a spelled word stands alone.

    Spelled words are looked for in their order; ValueError if one is not there.
    """
    parts: list[str] = []
    start = 0
    for word in piece.spelled:
        place = piece.text.index(word, start)
        parts += [piece.text[start:place], *word]
        start = place + len(word)
    return [part for part in (*parts, piece.text[start:]) if part]


def tokenize(tokenizer: Tokenizer, documents: list[Document]) -> list[Sample]:
    """Samples of all documents. Pieces meet where the pre-tokenizer splits anyway."""
    pieces = [document_pieces(document) for document in documents]
    parts = [[(split_spelled(piece), piece.is_learnt) for piece in each] for each in pieces]
    texts = [text for document in parts for texts, _ in document for text in texts]
    encoded = iter(tokenizer.encode_batch_fast(texts, add_special_tokens=False))
    samples = []
    for document in parts:
        token_ids: list[int] = []
        labels: list[int] = []
        for texts, is_learnt in document:
            ids = [token for _ in texts for token in next(encoded).ids]
            token_ids += ids
            labels += ids if is_learnt else [IGNORED] * len(ids)
        samples.append(Sample(np.array(token_ids, np.int32), np.array(labels, np.int32)))
    return samples


def pack(samples: list[Sample], row_length: int) -> Iterator[list[Sample]]:
    """Rows of whole samples, at most `row_length` tokens each, in order; longer samples are cut."""
    row: list[Sample] = []
    num_tokens = 0
    for sample in samples:
        length = min(len(sample.token_ids), row_length)
        if num_tokens + length > row_length:
            yield row
            row, num_tokens = [], 0
        row.append(Sample(sample.token_ids[:length], sample.labels[:length]))
        num_tokens += length
    if row:
        yield row


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one training step.

    field          shape        dtype  meaning
    token_ids      [B, T]       int64  padded with 0
    labels         [B, T]       int64  the next token, IGNORED where there is no loss
    position_ids   [B, T]       int64  each sample counts from 0
    mask           [B, 1, T, T] bool   causal, and only within a sample
    """

    token_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    mask: torch.Tensor


def make_batch(rows: list[list[Sample]], row_length: int) -> Batch:
    """Pads the rows and fences the samples of a row off from each other."""
    shape = (len(rows), row_length)
    token_ids = np.zeros(shape, np.int64)
    labels = np.full(shape, IGNORED, np.int64)
    position_ids = np.zeros(shape, np.int64)
    owners = np.full(shape, -1, np.int64)
    for index, row in enumerate(rows):
        start = 0
        for owner, sample in enumerate(row):
            end = start + len(sample.token_ids)
            token_ids[index, start:end] = sample.token_ids
            labels[index, start : end - 1] = sample.labels[1:]
            position_ids[index, start:end] = np.arange(end - start)
            owners[index, start:end] = owner
            start = end
    owner_ids = torch.from_numpy(owners)
    causal = torch.ones(row_length, row_length, dtype=torch.bool).tril()
    mask = (owner_ids[:, :, None] == owner_ids[:, None, :]) & causal
    return Batch(
        torch.from_numpy(token_ids),
        torch.from_numpy(labels),
        torch.from_numpy(position_ids),
        mask[:, None],
    )


def epoch_rows(samples: list[Sample], tokens_per_batch: int, *, seed: str) -> list[Rows]:
    """All batches of one epoch as rows of samples, the classes mixed, in the order of training."""
    rng = random.Random(seed)
    order = list(samples)
    rng.shuffle(order)
    found: list[Rows] = []
    for index, row_length in enumerate(ROW_LENGTHS):
        shorter = ROW_LENGTHS[index - 1] if index else 0
        is_last = row_length == ROW_LENGTHS[-1]
        members = [
            sample
            for sample in order
            if shorter < len(sample.token_ids) and (len(sample.token_ids) <= row_length or is_last)
        ]
        rows = list(pack(members, row_length))
        size = max(1, tokens_per_batch // row_length)
        starts = range(0, len(rows) - size + 1, size)
        found += [Rows(row_length, rows[start : start + size]) for start in starts]
    rng.shuffle(found)
    return found


@dataclass(frozen=True, slots=True)
class Rows:
    """One batch before it becomes tensors: rows of samples, each at most `row_length` tokens."""

    row_length: int
    rows: list[list[Sample]]


def batches(
    samples: list[Sample], *, tokens_per_batch: int, seed: int, first_step: int = 0
) -> Iterator[Batch]:
    """Endless batches, reshuffled each epoch; a run resumed at `first_step` sees the same ones."""
    step = 0
    epoch = 0
    while True:
        found = epoch_rows(samples, tokens_per_batch, seed=f"{seed}:{epoch}")
        if not found:
            raise ValueError(f"{len(samples)} samples do not fill a batch")
        for each in found:
            if step >= first_step:
                yield make_batch(each.rows, each.row_length)
            step += 1
        epoch += 1
