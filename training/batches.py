"""From documents to tensors: tokenization with loss masks, packing into rows, batches.

Shapes: B rows of a batch, T tokens of a row.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from training.tokenizer import END_OF_TEXT, TURN_END, TURN_START

IGNORED = -100
"""Label of positions without loss, as torch's cross entropy has it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A tokenized document; `labels[i]` is the token to be predicted *at* i (not shifted yet)."""

    token_ids: list[int]
    labels: list[int]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def segments(document: dict[str, Any]) -> list[tuple[str, bool]]:
    """The document's text in pieces, each with whether the model learns to write it."""
    if "prompt" in document:
        return [(document["prompt"], False), (document["completion"] + END_OF_TEXT, True)]
    pieces: list[tuple[str, bool]] = []
    if document["system"]:
        pieces.append((f"{TURN_START}system\n{document['system']}{TURN_END}\n", False))
    for question, answer in document["turns"]:
        asked = f"{TURN_START}user\n{question}{TURN_END}\n{TURN_START}assistant\n"
        pieces += [(asked, False), (answer + TURN_END, True), ("\n", False)]
    return pieces


def document_text(document: dict[str, Any]) -> str:
    """The whole document as the tokenizer's trainer reads it, without special tokens."""
    if "prompt" in document:
        return str(document["prompt"] + document["completion"])
    turns = "\n".join(
        f"user\n{question}\nassistant\n{answer}" for question, answer in document["turns"]
    )
    return f"system\n{document['system']}\n{turns}"


def tokenize(tokenizer: Tokenizer, documents: list[dict[str, Any]]) -> list[Sample]:
    """Samples of all documents. Pieces meet where the pre-tokenizer splits anyway."""
    pieces = [segments(document) for document in documents]
    texts = [text for document in pieces for text, _ in document]
    encoded = iter(tokenizer.encode_batch(texts, add_special_tokens=False))
    samples = []
    for document in pieces:
        token_ids: list[int] = []
        labels: list[int] = []
        for _, is_learnt in document:
            ids = next(encoded).ids
            token_ids += ids
            labels += ids if is_learnt else [IGNORED] * len(ids)
        samples.append(Sample(token_ids, labels))
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
    token_ids = torch.zeros(shape, dtype=torch.int64)
    labels = torch.full(shape, IGNORED, dtype=torch.int64)
    position_ids = torch.zeros(shape, dtype=torch.int64)
    owners = torch.full(shape, -1, dtype=torch.int64)
    for index, row in enumerate(rows):
        start = 0
        for owner, sample in enumerate(row):
            end = start + len(sample.token_ids)
            token_ids[index, start:end] = torch.tensor(sample.token_ids)
            labels[index, start : end - 1] = torch.tensor(sample.labels[1:])
            position_ids[index, start:end] = torch.arange(end - start)
            owners[index, start:end] = owner
            start = end
    causal = torch.ones(row_length, row_length, dtype=torch.bool).tril()
    mask = (owners[:, :, None] == owners[:, None, :]) & causal
    return Batch(token_ids, labels, position_ids, mask[:, None])


def batches(
    samples: list[Sample], *, batch_size: int, row_length: int, seed: int, first_step: int = 0
) -> Iterator[Batch]:
    """Endless batches, reshuffled each epoch; a run resumed at `first_step` sees the same ones."""
    step = 0
    epoch = 0
    while True:
        order = list(samples)
        random.Random(f"{seed}:{epoch}").shuffle(order)
        rows = list(pack(order, row_length))
        for start in range(0, len(rows) - batch_size + 1, batch_size):
            if step >= first_step:
                yield make_batch(rows[start : start + batch_size], row_length)
            step += 1
        epoch += 1
