from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

from sglite.router.prefix_index import PrefixIndex

ALL = 0b1111


@dataclass
class Digest:
    added: bytes = b""
    removed: bytes = b""
    is_whole: bool = False


def pack(*hashes: int) -> bytes:
    return array("Q", hashes).tobytes()


def added(*hashes: int) -> Digest:
    return Digest(added=pack(*hashes))


def removed(*hashes: int) -> Digest:
    return Digest(removed=pack(*hashes))


def whole(*hashes: int) -> Digest:
    return Digest(added=pack(*hashes), is_whole=True)


# -- digests ---------------------------------------------------------------------------------------


def test_the_deepest_match_and_who_has_it() -> None:
    index = PrefixIndex()
    index.apply(0, added(1, 2))
    index.apply(1, added(1, 2, 3))
    index.apply(3, added(1, 2, 3))
    assert index.deepest([1, 2, 3, 4], ALL) == (3, 0b1010)
    assert index.deepest([1, 2, 3, 4], 0b0101) == (2, 0b0001)
    assert index.deepest([1, 2, 3, 4], 0b0100) == (0, 0)
    assert index.deepest([], ALL) == index.deepest([9], ALL) == (0, 0)
    assert [index.depth_at(engine, [1, 2, 3, 4]) for engine in range(4)] == [2, 3, 0, 3]


def test_a_lost_page_in_front_does_not_hide_those_behind() -> None:
    index = PrefixIndex()
    index.apply(0, added(1, 2, 3))
    index.apply(0, removed(1))
    assert index.deepest([1, 2, 3], ALL) == (3, 1)


def test_digests_add_remove_and_replace() -> None:
    index = PrefixIndex()
    index.apply(0, added(1, 2, 3))
    index.apply(1, added(1))
    index.apply(0, removed(3, 99))
    assert index.depth_at(0, [1, 2, 3]) == 2
    index.apply(0, whole(7))
    assert index.depth_at(0, [1, 2, 3]) == 0 and index.depth_at(0, [7]) == 1
    assert index.depth_at(1, [1]) == 1 and index.num_known == 2
    index.apply(1, whole())
    assert index.num_known == 1


def test_a_forgotten_engine_has_nothing_and_others_keep_theirs() -> None:
    index = PrefixIndex()
    index.apply(0, added(1, 2))
    index.apply(2, added(2))
    index.expect("r", 0, [1, 2, 3])
    index.expect("s", 2, [1, 2, 3])
    index.forget(0)
    assert index.depth_at(0, [1, 2, 3]) == 0 and index.depth_at(2, [1, 2, 3]) == 3
    index.forget(2)
    index.forget(2)
    assert index.num_known == index.num_expected == 0


def test_what_is_known_is_bounded() -> None:
    index = PrefixIndex(max_known=3)
    index.apply(0, added(1, 2, 3, 4, 5))
    assert index.num_known == 3 and index.depth_at(0, [1, 2, 3, 4]) == 3
    index.apply(1, added(3))  # shares an entry
    assert index.depth_at(1, [1, 2, 3]) == 3
    index.apply(0, removed(1, 2))
    index.apply(0, added(6))
    assert index.depth_at(0, [6]) == 1


def test_digests_in_any_order_against_sets() -> None:
    rng, index = random.Random(0), PrefixIndex()
    truth: list[set[int]] = [set() for _ in range(5)]
    for _ in range(1_500):
        engine = rng.choice([0, 1, 2, 3, 70]) % 5
        names = rng.sample(range(40), rng.randrange(6))
        gone = rng.sample(sorted(set(range(40)) - set(names)), rng.randrange(6))
        kind = rng.randrange(12)
        if kind == 0:
            index.forget(engine)
            truth[engine].clear()
        elif kind == 1:
            index.apply(engine, whole(*names))
            truth[engine] = set(names)
        else:
            index.apply(engine, Digest(added=pack(*names), removed=pack(*gone)))
            truth[engine] = (truth[engine] - set(gone)) | set(names)
        for number, hashes in enumerate(truth):
            assert {h for h in range(40) if index.depth_at(number, [h])} == hashes
    assert index.num_known == len(set.union(*truth))


# -- expectations ----------------------------------------------------------------------------------


def test_what_was_sent_is_expected_until_its_grace_is_over() -> None:
    index = PrefixIndex(grace_s=5.0)
    index.expect("r", 1, [1, 2])
    assert index.deepest([1, 2, 3], ALL) == (2, 0b10)
    index.expire(1e9)  # it is still open: it may wait for as long as it likes
    index.finished("r", 100.0)
    index.expire(104.9)
    assert index.depth_at(1, [1, 2]) == 2
    index.expire(105.0)
    assert index.depth_at(1, [1, 2]) == 0 and index.num_expected == 0


def test_the_last_request_with_a_prefix_keeps_it_expected() -> None:
    index = PrefixIndex(grace_s=5.0)
    index.expect("a", 1, [1, 2])
    index.expect("b", 1, [1, 3])
    index.finished("a", 0.0)
    index.expire(10.0)
    assert index.depth_at(1, [1, 2]) == 1 and index.depth_at(1, [1, 3]) == 2
    index.abandon("b")
    index.abandon("b")
    assert index.num_expected == 0


def test_a_digest_makes_known_what_was_expected() -> None:
    index = PrefixIndex(grace_s=5.0)
    index.expect("r", 1, [1, 2, 3])
    index.apply(1, added(1, 2))
    assert index.num_expected == 1 and index.depth_at(1, [1, 2, 3]) == 3
    index.finished("r", 0.0)
    index.expire(10.0)
    assert index.depth_at(1, [1, 2, 3]) == 2
    index.apply(1, removed(2))  # evicted: the expectation was confirmed and does not come back
    assert index.depth_at(1, [1, 2, 3]) == 1


def test_what_is_known_need_not_be_expected() -> None:
    index = PrefixIndex()
    index.apply(0, added(1, 2))
    index.expect("r", 0, [1, 2])
    assert index.num_expected == 0
    index.expect("s", 1, [1, 2])
    assert index.num_expected == 2 and index.deepest([1, 2], ALL) == (2, 0b11)


def test_what_is_expected_is_bounded_and_the_oldest_goes_first() -> None:
    index = PrefixIndex(grace_s=None, max_expected=6)
    for number in range(100):
        index.expect(str(number), 0, [1, 1000 + number, 2000 + number])
        index.finished(str(number), 0.0)
        assert index.num_expected <= 6
    index.expire(1e9)  # without digests nothing expires
    assert index.depth_at(0, [1]) == 1, "what was sent last keeps what it shares with older ones"
    assert index.depth_at(0, [1099]) == index.depth_at(0, [1098]) == 1
    assert index.depth_at(0, [1097]) == 0
    assert not index._serials and not index._ending and len(index._sent) == 2


def test_nothing_stays_of_requests_that_are_over() -> None:
    rng, index = random.Random(1), PrefixIndex(grace_s=1.0)
    for number in range(2_000):
        engine = rng.randrange(4)
        index.expect(str(number), engine, rng.sample(range(50), 5))
        if rng.random() < 0.3:
            index.apply(engine, added(*rng.sample(range(50), 3)))
        if rng.random() < 0.1:
            index.forget(engine)
        if number >= 20:
            index.finished(str(number - 20), number * 0.1)
        index.expire(number * 0.1)
    for number in range(2_000):
        index.finished(str(number), 1e6)
    index.expire(1e7)
    assert index.num_expected == index._num_sent_hashes == 0
    assert not index._sent and not index._serials and not index._ending
    assert not any(index._raised_by.values())
