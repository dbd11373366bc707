"""Requests on their way through a fleet: together by prompt, in a line while no engine has room."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from sglite.request import FinishReason, OutputBatch, Request, RequestFinish, RequestTimings
from sglite.router.policies import RoutedRequest
from sglite.router.prefix_hashes import page_hashes


@dataclass(eq=False, slots=True)
class PromptGroup:
    """The samples of one prompt, which one engine gets together.

    ``requests`` are those that have not ended. ``engine`` is the number of the one that has them,
    None while they wait. ``heard_of`` are the requests whose outputs have begun. ``arrived_s`` is
    on the clock that engines on this machine share. ``num_engines`` counts those that had it.
    """

    requests: dict[str, Request]
    routed: RoutedRequest
    arrived_s: float
    engine: int | None = None
    submitted_s: float = 0.0
    num_engines: int = 0
    heard_of: set[str] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None

    @property
    def key(self) -> str:
        """What the router knows it by."""
        return self.routed.request_id

    def unheard_of(self) -> dict[str, Request]:
        """The requests that another engine may still compute."""
        return {
            request_id: request
            for request_id, request in self.requests.items()
            if request_id not in self.heard_of
        }


class PromptLine:
    """Groups that no engine has, oldest first; ``num_requests`` counts their requests."""

    def __init__(self) -> None:
        self.num_requests = 0
        self._groups: OrderedDict[PromptGroup, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[PromptGroup]:
        return iter(list(self._groups))

    @property
    def first(self) -> PromptGroup:
        """The one whose turn is next; there must be one."""
        return next(iter(self._groups))

    def append(self, group: PromptGroup) -> None:
        """It waits behind the others."""
        self._groups[group] = None
        self.num_requests += len(group.requests)

    def put_first(self, groups: Iterable[PromptGroup]) -> None:
        """They have waited before: they come before all others, in this order."""
        for group in reversed(list(groups)):
            self.append(group)
            self._groups.move_to_end(group, last=False)

    def remove(self, group: PromptGroup) -> None:
        """It waits no more."""
        del self._groups[group]
        self.num_requests -= len(group.requests)

    def end_request(self, group: PromptGroup, request_id: str) -> Request:
        """One request of a group waits no more; the group leaves with its last one."""
        request = group.requests.pop(request_id)
        self.num_requests -= 1
        if not group.requests:
            del self._groups[group]
        return request


def grouped(
    requests: Iterable[Request], *, page_size: int, now_s: float, timeout_s: float | None
) -> list[PromptGroup]:
    """``requests`` by prompt. ``timeout_s`` is for those that bring no deadline."""
    by_prompt: dict[str, dict[str, Request]] = {}
    for request in requests:
        if request.deadline_s is None and timeout_s is not None:
            request = dataclasses.replace(request, deadline_s=now_s + timeout_s)
        key = request.group_id or request.request_id
        by_prompt.setdefault(key, {})[request.request_id] = request
    return [
        PromptGroup(samples, _routed(key, list(samples.values()), page_size), arrived_s=now_s)
        for key, samples in by_prompt.items()
    ]


def _routed(key: str, samples: list[Request], page_size: int) -> RoutedRequest:
    """What the router sees: one request with the tokens of all samples."""
    first = samples[0]
    prompt = first.prompt_token_ids if first.key_ids is None else first.key_ids
    return RoutedRequest(
        key,
        len(prompt) + sum(each.max_new_tokens for each in samples),
        partial(page_hashes, prompt, page_size, first.namespace),
        first.session,
    )


def ended_waiting(group: PromptGroup, request: Request, message: str, now_s: float) -> OutputBatch:
    """The end of a request that no engine has seen."""
    finish = RequestFinish(
        request_id=request.request_id,
        reason=FinishReason.ABORT,
        message=message,
        num_prompt_tokens=len(request.prompt_token_ids),
        num_output_tokens=0,
        num_cached_tokens=0,
        num_retractions=0,
        max_new_tokens=request.max_new_tokens,
        timings=RequestTimings(arrival_s=group.arrived_s, finished_s=now_s),
    )
    return OutputBatch(finished=[finish])


def count_waiting(batch: OutputBatch, groups: Mapping[str, PromptGroup]) -> None:
    """Let the times of ended requests begin with the arrival here, not at the engine.

    Only spans of the two clocks are mixed, so it holds for engines on other machines too.
    """
    for i, finish in enumerate(batch.finished):
        group = groups.get(finish.request_id)
        if group is None:
            continue
        arrival_s = finish.timings.arrival_s - (group.submitted_s - group.arrived_s)
        timings = dataclasses.replace(finish.timings, arrival_s=arrival_s)
        batch.finished[i] = dataclasses.replace(finish, timings=timings)
