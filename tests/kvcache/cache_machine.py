"""A machine that uses the cache as the scheduler does, beside a model that is easy to believe.

The model knows every page by its *content*: the name of the prefix before it and the tokens that
some sequence wrote into it. Names are interned tuples, so equal names mean equal prefixes. After
each rule the whole tree is walked and compared with the model.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from sglite.config import CacheOptions
from sglite.kvcache.cache_manager import CacheManager, SequencePages
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.invariants import check_cache
from sglite.kvcache.page_allocator import TOMBSTONE, PageState
from sglite.kvcache.radix_tree import PrefixMatch
from sglite.observability.events import EventStream

NAMESPACES = ("", "other")
MAX_LIVE = 4
MAX_OPEN = 3
MAX_PAGES = 8  # of one sequence

WEIGHTS = {
    "start": 8, "serve": 4, "chunk": 16, "extend": 4, "commit": 12, "insert": 5, "advance": 3,
    "release": 5, "evict": 2, "grow": 1, "match": 2, "pin": 1, "unpin": 1, "flush": 0.3,
    "drop": 0.3,
}  # fmt: skip

Content = tuple[int, tuple[int, ...]]

namespaces = st.sampled_from(NAMESPACES)
# Mostly the same page again, so that prefixes are shared and part late.
words = st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 3]), min_size=1, max_size=6)
tails = st.integers(0, 63)
picks = st.integers(0, MAX_LIVE - 1)


@dataclass
class Live:
    """A running sequence: its ids, its pages, and how far each step has brought it."""

    namespace: str
    key_ids: list[int]
    pages: SequencePages
    num_computed: int
    num_scheduled: int
    last_step: int = 0


@dataclass
class OpenStep:
    """A launched step and the contents that it is about to read or has written."""

    step_id: int
    sequence: Live
    length: int
    reads: list[tuple[int, int, Content]] = field(default_factory=list)


class CacheMachine(RuleBasedStateMachine):
    """The rules; subclasses choose a page size and the kinds of KV groups."""

    page_size: ClassVar[int]
    kinds: ClassVar[tuple[str, ...]]

    @initialize(
        num_pages=st.sampled_from([8, 16, 32]),
        windows=st.integers(0, 2),
        policy=st.sampled_from(["lru", "lfu", "priority"]),
        max_pages=st.sampled_from([None, None, None, 5]),
        max_entries=st.sampled_from([None, None, 2]),
    )
    def build(self, num_pages, windows, policy, max_pages, max_entries):
        size = self.page_size
        window = (max(1, size // 2), size + 1, 3 * size - 1)[windows]
        self.groups = tuple(
            KVGroup("paged_window", (i,), window)
            if kind == "window"
            else KVGroup("paged_full", (i,))
            for i, kind in enumerate(self.kinds)
        )
        options = CacheOptions(
            page_size=size,
            radix_eviction_policy=policy,
            radix_cache_max_tokens=None if max_pages is None else max_pages * size,
            radix_cache_max_entries=max_entries,
        )
        self.max_pages, self.max_entries = max_pages, max_entries
        counts = [max(5, num_pages - 3 * i) for i in range(len(self.groups))]
        self.cache = CacheManager(self.groups, counts, options, EventStream())
        self.live: list[Live] = []
        self.pinned: dict[tuple[str, tuple[int, ...]], int] = {}
        self.open: deque[OpenStep] = deque()
        self.num_steps = 0
        self.names: dict[tuple[int, tuple], int] = {}
        self.contents: list[dict[int, Content]] = [{} for _ in self.groups]
        self.present: dict[int, list[int]] = {}
        self.may_lose, self.may_gain = False, set[int]()

    # -- requests ----------------------------------------------------------------------------------

    @rule(namespace=namespaces, words=words, tail=tails, priority=st.integers(0, 2))
    def start(self, namespace, words, tail, priority):
        """Match, acquire, and room for the whole prompt; without room it is as if never there."""
        if len(self.live) == MAX_LIVE:
            self.leave(self.live[0], deferred=False)
        key_ids = self.key_of(words, tail)
        match = self.checked_match(namespace, key_ids, len(key_ids) - 1)
        pages = self.cache.acquire(match, priority=priority)
        assert pages.page_ids == match.pages
        start = match.num_tokens
        sequence = Live(namespace, key_ids, pages, start, start)
        self.live.append(sequence)
        if not self.grow_to(sequence, len(key_ids)):
            self.leave(sequence, deferred=False)

    @rule(namespace=namespaces, words=words, tail=tails, leaves=st.booleans())
    def serve(self, namespace, words, tail, leaves):
        """A whole prompt in one step, and perhaps the end of the request."""
        self.start(namespace, words, tail, 0)
        if not self.live:
            return
        sequence = self.live[-1]
        self.run(sequence, len(sequence.key_ids))
        self.settle(sequence)
        self.insert_up_to(sequence, sequence.num_computed)
        if leaves:
            self.leave(sequence, deferred=True)

    @precondition(lambda self: self.live)
    @rule(pick=picks, num_tokens=st.integers(1, 200))
    def grow(self, pick, num_tokens):
        sequence = self.pick(pick)
        self.grow_to(sequence, sequence.pages.capacity + 1 + num_tokens % (4 * self.page_size))

    @precondition(lambda self: self.live)
    @rule(pick=picks, num_tokens=st.integers(1, 200))
    def chunk(self, pick, num_tokens):
        """Launch a step over tokens that are known."""
        self.run(self.pick(pick), num_tokens)

    @precondition(lambda self: self.live)
    @rule(pick=picks, words=words, tail=tails)
    def extend(self, pick, words, tail):
        """New tokens, as decoding gives them, and a step that computes all there are."""
        sequence = self.pick(pick)
        added = self.key_of(words[:2], tail)
        sequence.key_ids += added[: MAX_PAGES * self.page_size - len(sequence.key_ids)]
        if self.grow_to(sequence, len(sequence.key_ids)):
            self.run(sequence, len(sequence.key_ids))

    @precondition(lambda self: self.open)
    @rule(inserts=st.booleans())
    def commit(self, inserts):
        sequence = self.commit_oldest()
        if inserts:
            self.insert_up_to(sequence, sequence.num_computed)
            self.leave_behind(sequence)

    @precondition(lambda self: self.live)
    @rule(pick=picks, part=st.sampled_from([1, 1, 2, 3]))
    def insert(self, pick, part):
        sequence = self.pick(pick)
        self.insert_up_to(sequence, sequence.num_computed // part)

    @precondition(lambda self: self.live)
    @rule(pick=picks)
    def advance(self, pick):
        sequence = self.pick(pick)
        self.leave_behind(sequence)

    @precondition(lambda self: self.live)
    @rule(pick=picks, deferred=st.booleans(), inserts=st.booleans())
    def release(self, pick, deferred, inserts):
        sequence = self.pick(pick)
        self.settle(sequence)
        if inserts:
            self.insert_up_to(sequence, sequence.num_computed)
        self.leave(sequence, deferred=deferred)

    # -- the cache as a whole ----------------------------------------------------------------------

    @rule(namespace=namespaces, words=words, tail=tails, limit=st.integers(0, 500))
    def match(self, namespace, words, tail, limit):
        key_ids = self.key_of(words, tail)
        self.checked_match(namespace, key_ids, min(limit, len(key_ids)))

    @rule(group=st.integers(0, 1), num_pages=st.integers(1, 12))
    def evict(self, group, num_pages):
        group %= len(self.groups)
        allocator, tree = self.cache.allocators[group], self.cache.tree
        num_free, num_cached = allocator.num_free, tree.num_pages[group]
        evictable = self.num_available(group) - num_free
        freed = self.cache.evictor.evict(group, num_pages)
        assert freed >= min(num_pages, evictable), "evicted less than it could"
        assert allocator.num_free - num_free == freed == num_cached - tree.num_pages[group]
        self.may_lose = True

    @rule(group=st.integers(0, 1), excess=st.integers(1, 3))
    def allocate_too_many(self, group, excess):
        allocator = self.cache.allocators[group % len(self.groups)]
        before = self.snapshot()
        assert allocator.try_allocate(allocator.num_free + excess) is None
        assert self.snapshot() == before

    @precondition(lambda self: len(self.pinned) < 2)
    @rule(namespace=namespaces, words=words)
    def pin(self, namespace, words):
        key_ids = self.key_of(words, 0)
        match = self.checked_match(namespace, key_ids, len(key_ids))
        assert self.cache.pin(namespace, key_ids) == match.num_tokens
        if match.num_tokens:
            key = (namespace, tuple(key_ids))
            self.pinned[key] = max(match.num_tokens, self.pinned.get(key, 0))
        self.may_lose = self.max_entries is not None

    @precondition(lambda self: self.pinned)
    @rule(pick=picks)
    def unpin(self, pick):
        key = list(self.pinned)[pick % len(self.pinned)]
        del self.pinned[key]
        assert self.cache.unpin(key[0], list(key[1]))
        assert not self.cache.unpin(key[0], list(key[1])), "unpinned twice"
        self.may_lose = self.max_entries is not None

    @rule()
    def flush(self):
        num_cached = self.cache.tree.num_pages[0]
        assert self.cache.flush() == num_cached - self.cache.tree.num_pages[0]
        self.may_lose = True
        present, locked = self.walk(), self.locked_names()
        assert set(present) == locked, "flush keeps exactly what is in use or pinned"

    @rule(namespace=namespaces)
    def drop_namespace(self, namespace):
        before, locked = set(self.present), self.locked_names()
        self.cache.drop_namespace(namespace)
        gone = before - set(self.walk())
        assert all(self.namespace_of(name) == namespace for name in gone)
        left = before - gone - locked
        assert all(self.namespace_of(name) != namespace for name in left)
        self.may_lose = True

    # -- what the rules are made of ----------------------------------------------------------------

    def grow_to(self, sequence: Live, num_tokens: int) -> bool:
        size = self.page_size
        num_missing = -(-num_tokens // size) - len(sequence.pages.page_ids[0])
        self.present = self.checked()
        room = min(self.num_available(group) for group in range(len(self.groups)))
        before = self.snapshot()
        if not self.cache.try_grow(sequence.pages, num_tokens):
            assert num_missing > room, "refused although there was room"
            assert self.snapshot() == before, "a refusal changed something"
            return False
        assert num_missing <= room
        assert sequence.pages.capacity == len(sequence.pages.page_ids[0]) * size >= num_tokens
        self.may_lose = True
        return True

    def run(self, sequence: Live, num_tokens: int) -> None:
        """Launch a step of up to ``num_tokens`` known tokens that have their pages."""
        start = sequence.num_scheduled
        end = min(start + num_tokens, len(sequence.key_ids), sequence.pages.capacity)
        if end <= start:
            return
        if len(self.open) == MAX_OPEN:
            self.commit_oldest()
        self.num_steps += 1
        sequence.num_scheduled, sequence.last_step = end, self.num_steps
        step = OpenStep(self.num_steps, sequence, end - start)
        for group in range(len(self.groups)):
            self.write(sequence, group, start, end)
            for index in self.pages_read(group, start, end):
                page = sequence.pages.page_ids[group][index]
                expected = self.content_of(sequence, index, end)
                assert is_part_of(expected, self.contents[group][page]), "foreign content"
                step.reads.append((group, page, expected))
        self.open.append(step)

    def commit_oldest(self) -> Live:
        step = self.open.popleft()
        for group, page, content in step.reads:
            now = self.contents[group][page]
            assert is_part_of(content, now), "a page was overwritten while a step was reading it"
        step.sequence.num_computed += step.length
        self.cache.commit_step(step.step_id)
        return step.sequence

    def settle(self, sequence: Live) -> None:
        """Commit every step that names ``sequence``."""
        while self.open and self.open[0].step_id <= sequence.last_step:
            self.commit_oldest()

    def insert_up_to(self, sequence: Live, num_tokens: int) -> None:
        self.present = self.checked()
        pages, first = sequence.pages, sequence.pages.num_tree_pages
        names = self.names_of(sequence.namespace, sequence.key_ids)
        num_new, replaced = self.cache.insert(
            pages, sequence.key_ids, num_tokens, after_step=self.newest_open
        )
        end = pages.num_tree_pages
        assert pages.node.end == end * self.page_size
        if self.max_pages is None:
            assert end == max(first, num_tokens // self.page_size), "whole pages were left out"
            assert num_new == sum(name not in self.present for name in names[first:end])
        for group, index, page in replaced:
            assert first <= index < end and pages.page_ids[group][index] == page
            assert self.contents[group][page] == self.content_of(sequence, index, num_tokens)
        self.may_gain |= set(names[first:end])
        self.may_lose |= self.max_pages is not None or self.max_entries is not None
        self.present = self.checked()

    def leave(self, sequence: Live, *, deferred: bool) -> None:
        self.settle(sequence)
        self.live.remove(sequence)
        own, after_step = self.private_pages(sequence), self.newest_open if deferred else None
        self.cache.release(sequence.pages, after_step=after_step)
        self.check_given_up(own, after_step)
        self.may_lose |= self.max_entries is not None
        self.present = self.checked()

    def leave_behind(self, sequence: Live) -> None:
        """Let go of what the windows have left."""
        own = self.private_pages(sequence)
        self.cache.advance(sequence.pages, sequence.num_computed, after_step=self.newest_open)
        kept = self.private_pages(sequence)
        gone = [before - after for before, after in zip(own, kept, strict=True)]
        self.check_given_up(gone, self.newest_open)

    def private_pages(self, sequence: Live) -> list[set[int]]:
        pages = sequence.pages
        return [set(page_ids[pages.num_tree_pages :]) - {TOMBSTONE} for page_ids in pages.page_ids]

    def check_given_up(self, pages: list[set[int]], after_step: int | None) -> None:
        state = PageState.FREE if after_step is None else PageState.DEFERRED
        for allocator, gone in zip(self.cache.allocators, pages, strict=True):
            assert gone <= allocator.pages_in(state), f"given up, and not {state.name}"

    # -- after every rule --------------------------------------------------------------------------

    @invariant()
    def model_and_cache_agree(self):
        if hasattr(self, "cache"):
            self.present = self.checked()

    def checked(self) -> dict[int, list[int]]:
        """Compare model and cache; returns what is cached now."""
        check_cache(self.cache, [sequence.pages for sequence in self.live])
        present = self.walk()
        for group in range(len(self.groups)):
            self.check_partition(group, present)
            self.check_losses(group, present)
        assert set(present) - set(self.present) <= self.may_gain, "pages came from nowhere"
        self.may_lose, self.may_gain = False, set()
        self.check_limits()
        return present

    def check_limits(self) -> None:
        tree = self.cache.tree
        if self.max_pages is not None:
            assert tree.num_pages[0] <= self.max_pages, "over the token budget"
        if self.max_entries is not None and tree.num_leaves > self.max_entries:
            leaves = [node for node in tree.nodes() if not node.children]
            assert all(node.lock_count for node in leaves), "more unused prefixes than allowed"

    def check_partition(self, group: int, present: dict[int, list[int]]) -> None:
        allocator = self.cache.allocators[group]
        parts = {state: allocator.pages_in(state) for state in PageState}
        everything = [page for part in parts.values() for page in part]
        assert sorted(everything) == list(range(allocator.num_pages)), "not a partition"
        in_tree = {pages[group] for pages in present.values()} - {TOMBSTONE}
        assert in_tree == parts[PageState.TREE]
        assert not parts[PageState.TRANSFER]
        protected = self.protected(group)
        assert len(in_tree) - len(protected) == self.cache.tree.num_evictable(group)
        for name, pages in present.items():
            if pages[group] != TOMBSTONE:
                content = self.contents[group][pages[group]]
                assert self.names.get(content) == name, "a page does not hold its prefix"
        for step in self.open:
            for number, page, _ in step.reads:
                assert number != group or page not in parts[PageState.FREE]

    def check_losses(self, group: int, present: dict[int, list[int]]) -> None:
        """Nothing in use goes, and nothing at all goes unless the rule may evict."""
        kept = {name for name, pages in present.items() if pages[group] != TOMBSTONE}
        before = {name for name, pages in self.present.items() if pages[group] != TOMBSTONE}
        assert not self.protected(group) - kept, "a page in use was evicted"
        assert self.may_lose or before <= kept, "pages were lost without need"

    def teardown(self):
        if not hasattr(self, "cache"):
            return
        while self.open:
            self.commit_oldest()
        for sequence in self.live:
            self.cache.release(sequence.pages, after_step=None)
        for namespace, key_ids in self.pinned:
            assert self.cache.unpin(namespace, list(key_ids))
        self.live, self.pinned = [], {}
        check_cache(self.cache, [])
        self.cache.flush()
        for allocator in self.cache.allocators:
            assert allocator.num_free == allocator.num_pages, "pages leaked"
        assert not self.cache.tree.roots and not self.cache.tree.num_leaves

    # -- the model ---------------------------------------------------------------------------------

    def pick(self, number: int) -> Live:
        return self.live[number % len(self.live)]

    def key_of(self, words: list[int], tail: int) -> list[int]:
        """Whole pages over few contents, so that prefixes are shared, and a part of a page."""
        size = self.page_size
        pages = [[word] * size if word < 3 else [0] * (size - 1) + [1] for word in words]
        ids = [token for page in pages for token in page] + [1] * (tail % size)
        return ids[: MAX_PAGES * size]

    def name(self, before: int, tokens: tuple) -> int:
        return self.names.setdefault((before, tokens), len(self.names))

    def names_of(self, namespace: str, key_ids: list[int]) -> list[int]:
        """The names of all whole pages of ``key_ids``."""
        size, name, names = self.page_size, self.name(-1, (namespace,)), []
        for start in range(0, len(key_ids) - size + 1, size):
            name = self.name(name, tuple(key_ids[start : start + size]))
            names.append(name)
        return names

    def namespace_of(self, name: int) -> str:
        by_name = {value: key for key, value in self.names.items()}
        while by_name[name][0] != -1:
            name = by_name[name][0]
        return by_name[name][1][0]

    def content_of(self, sequence: Live, index: int, end: int) -> Content:
        """What page ``index`` holds once ``end`` tokens are written."""
        size = self.page_size
        names = self.names_of(sequence.namespace, sequence.key_ids[: index * size])
        before = names[-1] if names else self.name(-1, (sequence.namespace,))
        return before, tuple(sequence.key_ids[index * size : min(end, (index + 1) * size)])

    def write(self, sequence: Live, group: int, start: int, end: int) -> None:
        pages = sequence.pages
        for index in range(start // self.page_size, -(-end // self.page_size)):
            page = pages.page_ids[group][index]
            own = self.cache.allocators[group].pages_in(PageState.SEQUENCE)
            assert index >= pages.num_tree_pages and page in own, "writes into a shared page"
            self.contents[group][page] = self.content_of(sequence, index, end)

    def pages_read(self, group: int, start: int, end: int) -> list[int]:
        """Page indices that tokens ``[start, end)`` read or write, by counting positions."""
        window = self.groups[group].window
        first = 0 if window is None else max(0, start - window + 1)
        return sorted({position // self.page_size for position in range(first, end)})

    def usable(self, names: list[int]) -> int:
        """The longest start of ``names`` that is present wherever a next token would look."""
        count = 0
        while count < len(names) and names[count] in self.present:
            count += 1
        while count and not self.is_readable(names[:count]):
            count -= 1
        return count

    def is_readable(self, names: list[int]) -> bool:
        end = len(names) * self.page_size
        return all(
            self.present[names[index]][group] != TOMBSTONE
            for group in range(len(self.groups))
            for index in self.pages_read(group, end, end)
        )

    def checked_match(self, namespace: str, key_ids: list[int], limit: int) -> PrefixMatch:
        before = self.snapshot()
        match = self.cache.match(namespace, list(key_ids), limit)
        assert self.snapshot() == before, "a match changed something"
        names = self.names_of(namespace, key_ids[: max(0, limit)])
        names = names[: self.usable(names)]
        assert match.num_tokens == len(names) * self.page_size <= max(0, limit)
        assert match.pages == [
            [self.present[name][group] for name in names] for group in range(len(self.groups))
        ]
        return match

    @property
    def newest_open(self) -> int | None:
        return self.open[-1].step_id if self.open else None

    def holdings(self) -> list[tuple[list[int], Callable[[int], int]]]:
        """For every sequence and pin: the names it locks, and its first read page by group."""
        found: list[tuple[list[int], Callable[[int], int]]] = []
        for sequence in self.live:
            names = self.names_of(sequence.namespace, sequence.key_ids)
            pages = sequence.pages
            found.append((names[: pages.num_tree_pages], pages.first_read.__getitem__))
        for (namespace, key_ids), num_tokens in self.pinned.items():
            names = self.names_of(namespace, list(key_ids[:num_tokens]))
            found.append((names, lambda group, end=num_tokens: self.first_read(group, end)))
        return found

    def first_read(self, group: int, end: int) -> int:
        read = self.pages_read(group, end, end)
        return read[0] if read else end // self.page_size

    def locked_names(self) -> set[int]:
        return {name for names, _ in self.holdings() for name in names}

    def protected(self, group: int) -> set[int]:
        """Names whose page of ``group`` somebody may still read."""
        if self.groups[group].window is None:
            return self.locked_names()
        return {name for names, first in self.holdings() for name in names[first(group) :]}

    def num_available(self, group: int) -> int:
        cached = sum(pages[group] != TOMBSTONE for pages in self.present.values())
        return self.cache.allocators[group].num_free + cached - len(self.protected(group))

    def walk(self) -> dict[int, list[int]]:
        """Every page of the tree under the name that its place in the tree spells."""
        found: dict[int, list[int]] = {}
        size = self.page_size
        for namespace, root in self.cache.tree.roots.items():
            stack = [(child, self.name(-1, (namespace,))) for child in root.children.values()]
            while stack:
                node, name = stack.pop()
                for index in range(node.num_pages):
                    name = self.name(name, tuple(node.key[index * size : (index + 1) * size]))
                    assert name not in found, "a prefix is in the tree twice"
                    found[name] = [pages[index] for pages in node.pages]
                stack += [(child, name) for child in node.children.values()]
        return found

    def snapshot(self) -> list:
        """Everything that a query must not change."""
        cache = self.cache
        nodes = [
            (id(node), node.end, node.lock_count, node.last_used, node.num_hits, node.stamp)
            for node in cache.tree.nodes()
        ]
        pages = [allocator.pages_in(state) for allocator in cache.allocators for state in PageState]
        return [nodes, pages, cache.tree.tick, sorted(cache.tree.roots), cache.stats()]


def is_part_of(content: Content, now: Content) -> bool:
    """True where a page still holds ``content``, perhaps with more tokens behind it."""
    return content[0] == now[0] and content[1] == now[1][: len(content[1])]


def random_life(machine: CacheMachine, rng: random.Random, num_steps: int) -> None:
    """The same rules drawn by weight: hypothesis finds the odd case, this the rare one."""

    def draw_words() -> list[int]:
        return rng.choices([0, 1, 2, 3], [5, 1, 1, 1], k=rng.randint(1, 6))

    def draw_prompt() -> dict:
        namespace = rng.choice(["", "", "", "other"])
        return {"namespace": namespace, "words": draw_words(), "tail": rng.randrange(64)}

    def act(action: str) -> None:
        if action in ("start", "serve"):
            extra = (
                {"leaves": rng.random() < 0.5}
                if action == "serve"
                else {"priority": rng.randrange(3)}
            )
            getattr(machine, action)(**draw_prompt(), **extra)
        elif action == "match":
            machine.match(**draw_prompt(), limit=rng.randrange(500))
        elif action == "pin" and len(machine.pinned) < 2:
            machine.pin(namespace="", words=draw_words())
        elif action == "commit" and machine.open:
            machine.commit(inserts=rng.random() < 0.7)
        elif action == "evict":
            machine.evict(group=rng.randrange(2), num_pages=rng.randint(1, 6))
        elif action == "unpin" and machine.pinned:
            machine.unpin(pick=rng.randrange(4))
        elif action == "flush":
            machine.flush()
        elif action == "drop":
            machine.drop_namespace(namespace=rng.choice(NAMESPACES))
        elif machine.live:
            act_on_live(action, rng.randrange(MAX_LIVE))

    def act_on_live(action: str, pick: int) -> None:
        if action == "chunk":
            machine.chunk(pick=pick, num_tokens=rng.randint(1, 2 * machine.page_size + 1))
        elif action == "extend":
            machine.extend(pick=pick, words=draw_words(), tail=rng.randrange(64))
        elif action == "grow":
            machine.grow(pick=pick, num_tokens=rng.randrange(200))
        elif action == "insert":
            machine.insert(pick=pick, part=rng.choice([1, 1, 2]))
        elif action == "advance":
            machine.advance(pick=pick)
        elif action == "release":
            flags = {"deferred": rng.random() < 0.5, "inserts": rng.random() < 0.7}
            machine.release(pick=pick, **flags)

    machine.build(
        num_pages=rng.choice([8, 16, 32]),
        windows=rng.randrange(3),
        policy=rng.choice(["lru", "lfu", "priority"]),
        max_pages=rng.choice([None, None, None, 5]),
        max_entries=rng.choice([None, None, 2]),
    )
    names, weights = zip(*WEIGHTS.items(), strict=True)
    for action in rng.choices(names, weights, k=num_steps):
        act(action)
        machine.model_and_cache_agree()
    machine.teardown()
