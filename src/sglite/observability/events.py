"""Typed events of scheduler and cache. Logs, metrics and the narration subscribe; nothing else
hooks into the engine.

Build an event only behind ``if events.active``: without a subscriber the path costs one test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sglite.request import RequestFinish


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class Arrived(Event):
    """A request entered the queue."""

    request_id: str
    num_prompt_tokens: int
    max_new_tokens: int


@dataclass(frozen=True, slots=True)
class Admitted(Event):
    """A request got a row. ``num_cached_tokens`` of its ``num_tokens`` need no computing."""

    request_id: str
    row: int
    num_tokens: int
    num_cached_tokens: int
    waited_s: float


@dataclass(frozen=True, slots=True)
class HeldBack(Event):
    """A request stays in the queue although a row is free; ``reason`` says why."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Stepped(Event):
    """A step was planned. ``runs`` holds ``(request_id, start, length, samples)``."""

    step_id: int
    runs: list[tuple[str, int, int, bool]]
    num_waiting: int
    chunk_budget: int


@dataclass(frozen=True, slots=True)
class Committed(Event):
    """A step's results became facts. ``tokens`` holds ``(request_id, token_id)``."""

    step_id: int
    tokens: list[tuple[str, int]]
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Inserted(Event):
    """Pages of a request entered the prefix cache; ``num_duplicates`` were there already."""

    request_id: str
    num_pages: int
    num_duplicates: int


@dataclass(frozen=True, slots=True)
class PagesCached(Event):
    """Pages ``page_ids[first_page:end_page]`` of KV group 0 belong to the prefix cache now.

    Some may have been there before, and where a window has left one behind stands a negative
    number. ``key_ids`` spell the prefix from its start. Both lists are not copied: they are right
    only while the event is handled. In ``CacheManager.page_events``, as the next one.
    """

    namespace: str
    key_ids: Sequence[int]
    page_ids: Sequence[int]
    first_page: int
    end_page: int


@dataclass(frozen=True, slots=True)
class PagesDropped(Event):
    """Pages of KV group 0 left the prefix cache, for whatever reason."""

    page_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Evicted(Event):
    """The prefix cache gave up pages of one KV group."""

    group: int
    num_pages: int
    reason: str


@dataclass(frozen=True, slots=True)
class Retracted(Event):
    """A running request went back to the queue with its tokens."""

    request_id: str
    num_tokens: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """A request ended."""

    request_id: str
    reason: str
    num_prompt_tokens: int
    num_cached_tokens: int
    num_output_tokens: int

    @classmethod
    def of(cls, finish: RequestFinish) -> Finished:
        """The event of a terminal event."""
        return cls(
            finish.request_id,
            finish.reason.value,
            finish.num_prompt_tokens,
            finish.num_cached_tokens,
            finish.num_output_tokens,
        )


@dataclass(frozen=True, slots=True)
class Flushed(Event):
    """The prefix cache was emptied."""

    num_pages: int


Subscriber = Callable[[Event], None]


@dataclass(slots=True)
class EventStream:
    """Hands every event to every subscriber, in order, in the engine's thread."""

    subscribers: list[Subscriber] = field(default_factory=list)

    @property
    def active(self) -> bool:
        """True where somebody listens."""
        return bool(self.subscribers)

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with every later event."""
        self.subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Undo :meth:`subscribe`; a subscriber may do so while it is called."""
        self.subscribers = [other for other in self.subscribers if other != subscriber]

    def emit(self, event: Event) -> None:
        """Hand ``event`` to all subscribers."""
        for subscriber in self.subscribers:
            subscriber(event)
