"""Outputs of one step, by whoever waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sglite.request import OutputBatch

Owner = TypeVar("Owner")


def split_outputs(
    outputs: OutputBatch, owner_of: Callable[[str], Owner]
) -> list[tuple[Owner, OutputBatch]]:
    """``outputs`` by ``owner_of(request_id)``, those with news only.

    Where all of it is one owner's it is passed on as it is. Owners must be hashable.
    """
    named = {owner_of(request_id) for request_id, _ in outputs.tokens}
    named.update(owner_of(finish.request_id) for finish in outputs.finished)
    named.update(owner_of(request_id) for request_id, _ in outputs.started)
    named.update(owner_of(request_id) for request_id, _ in outputs.prompt_logprobs)
    if len(named) == 1:
        return [(named.pop(), outputs)]
    parts = {owner: OutputBatch() for owner in named}
    for entry in outputs.started:
        parts[owner_of(entry[0])].started.append(entry)
    for index, token in enumerate(outputs.tokens):
        part = parts[owner_of(token[0])]
        if index in outputs.logprobs:
            part.logprobs[len(part.tokens)] = outputs.logprobs[index]
        part.tokens.append(token)
    for scored in outputs.prompt_logprobs:
        parts[owner_of(scored[0])].prompt_logprobs.append(scored)
    for finish in outputs.finished:
        parts[owner_of(finish.request_id)].finished.append(finish)
    return list(parts.items())
