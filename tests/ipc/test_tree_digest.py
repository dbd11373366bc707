"""The digest of a tree is the tree: after every change, for every kind of KV group."""

from __future__ import annotations

import random
from hashlib import blake2b

import pytest

from sglite.ipc import tree_digest
from sglite.ipc.messages import Digest
from sglite.ipc.tree_digest import TreeDigest
from sglite.kvcache.cache_manager import CacheManager
from sglite.kvcache.page_allocator import TOMBSTONE
from sglite.router.prefix_hashes import page_hashes, unpack
from tests.kvcache.building import FULL, PAGE, WINDOW, ids, make_cache, serve
from tests.kvcache.cache_machine import CacheMachine, random_life

KINDS = {"full": ("full",), "window": ("window",), "mixed": ("window", "full")}
NUM_LIVES = 5


class Listener:
    """Keeps a set of hashes by what it is told."""

    def __init__(self) -> None:
        self.hashes: set[int] = set()

    def take(self, messages: list[Digest]) -> None:
        for message in messages:
            if message.is_whole:
                self.hashes.clear()
            self.hashes.difference_update(unpack(message.removed))
            self.hashes.update(unpack(message.added))


def walk(cache: CacheManager) -> set[int]:
    """The hashes of all cached pages, each computed from the ids on the way to it."""
    found: set[int] = set()
    for node in cache.tree.nodes():
        path = [node, *list(node.path())[1:]]
        key = [token for step in reversed(path) for token in step.key]
        hashes = page_hashes(key, cache.page_size, node.namespace)
        own = hashes[len(hashes) - node.num_pages :]
        found |= {name for name, page in zip(own, node.pages[0], strict=True) if page != TOMBSTONE}
    return found


class DigestMachine(CacheMachine):
    """The cache's own machine; after every rule listeners know what the tree has."""

    def build(self, num_pages, windows, policy, max_pages, max_entries):
        super().build(num_pages, windows, policy, max_pages, max_entries)
        self.digest = TreeDigest(self.cache)
        self.always, self.late = Listener(), Listener()
        self.num_told = 0

    def checked(self):
        present = super().checked()
        truth = walk(self.cache)
        whole = Listener()
        whole.take(self.digest.whole())
        assert whole.hashes == truth
        self.num_told += 1
        if self.num_told % 3 == 1:  # one comes while others wait to be told
            self.late.take(self.digest.whole())
        if self.num_told % 3 == 0:
            changes = self.digest.changes()
            self.always.take(changes)
            self.late.take(changes)
            assert self.always.hashes == self.late.hashes == truth
        return present


@pytest.mark.parametrize("page_size", [1, 16])
@pytest.mark.parametrize("kinds", KINDS)
def test_a_digest_equals_a_walk_of_the_whole_tree(page_size: int, kinds: str) -> None:
    parts = {"page_size": page_size, "kinds": KINDS[kinds]}
    machine = type("DigestMachine_", (DigestMachine,), parts)
    for seed in range(NUM_LIVES):
        random_life(machine(), random.Random(seed), 100)


def test_what_was_cached_before_is_told_too() -> None:
    cache = make_cache(FULL)
    serve(cache, "aaaabbbbcccc")
    serve(cache, "aaaabbbbdddd")
    serve(cache, "aaaa", namespace="salt")
    listener = Listener()
    listener.take(TreeDigest(cache).whole())
    assert listener.hashes == walk(cache) and len(listener.hashes) == 5


def test_a_hash_names_the_prefix_and_the_namespace() -> None:
    cache = make_cache(FULL)
    digest = TreeDigest(cache)
    serve(cache, "aaaabbbb", namespace="salt")
    (message,) = digest.changes()
    key_ids = ids("aaaabbbb")
    assert sorted(unpack(message.added)) == sorted(page_hashes(key_ids, PAGE, "salt"))
    assert message.page_size == PAGE and not message.is_whole and message.removed == b""
    assert digest.changes() == []


def test_a_page_that_comes_back_is_told_as_there() -> None:
    cache = make_cache(FULL)
    digest = TreeDigest(cache)
    serve(cache, "aaaa")
    digest.changes()
    cache.flush()
    serve(cache, "aaaa")
    (message,) = digest.changes()
    assert unpack(message.added) == page_hashes(ids("aaaa"), PAGE) and message.removed == b""
    cache.flush()
    (message,) = digest.changes()
    assert unpack(message.removed) == page_hashes(ids("aaaa"), PAGE) and message.added == b""


def test_one_word_of_change_until_it_is_told() -> None:
    cache = make_cache(FULL)
    digest = TreeDigest(cache)
    words: list[str] = []
    digest.on_change = lambda: words.append("changed")
    serve(cache, "aaaabbbb")
    serve(cache, "ccccdddd")
    cache.flush()
    assert len(words) == 1
    digest.changes()
    serve(cache, "a")  # no whole page
    assert len(words) == 1
    serve(cache, "aaaa")
    assert len(words) == 2


def test_large_digests_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_digest, "MAX_MESSAGE_BYTES", 16)
    cache = make_cache(FULL)
    digest = TreeDigest(cache)
    serve(cache, "aaaabbbbccccddddeeee")
    messages = digest.whole()
    assert [message.is_whole for message in messages] == [True, False, False]
    assert [len(message.added) for message in messages] == [16, 16, 8]
    assert [message.added for message in digest.changes()] != []
    cache.flush()
    serve(cache, "xxxx")
    assert [(len(m.removed), len(m.added)) for m in digest.changes()] == [(16, 8), (16, 0), (8, 0)]


def test_an_empty_cache_is_told_as_empty() -> None:
    (message,) = TreeDigest(make_cache(WINDOW)).whole()
    assert message.is_whole and message.added == b"" and message.removed == b""


def test_nothing_is_hashed_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> blake2b:
        raise AssertionError("hashed")

    monkeypatch.setattr("sglite.router.prefix_hashes.blake2b", never)
    cache = make_cache(FULL)
    serve(cache, "aaaabbbb")
    assert not cache.page_events.active and cache.flush() == 2
