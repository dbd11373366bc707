from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from sglite.errors import ConfigError, RankLostError, SgliteError
from sglite.ipc.frames import encode
from sglite.ranks.messages import RankAt, RankFault, StepDone
from sglite.ranks.rank_links import RankLinks
from sglite.scheduler.plan import StepResult


class Ends:
    """The leader's links to ranks 1 and 2, and the ranks' ends of them."""

    def __init__(self) -> None:
        pairs = {rank: socket.socketpair() for rank in (1, 2)}
        self.ranks = {rank: theirs for rank, (_, theirs) in pairs.items()}
        self.links = RankLinks({rank: ours for rank, (ours, _) in pairs.items()})
        self.links.start()

    def say(self, rank: int, message: object) -> None:
        self.ranks[rank].sendall(encode(message))

    def wait_for_loss(self) -> SgliteError:
        told = threading.Event()
        self.links.on_loss(lambda _: told.set())
        assert told.wait(5.0)
        assert self.links.loss is not None
        return self.links.loss


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.links.close()
    for sock in ends.ranks.values():
        sock.close()


def test_a_phase_is_over_when_all_have_come_to_it(ends: Ends) -> None:
    ends.say(1, RankAt("planned", 7))
    with pytest.raises(RankLostError, match=r"ranks \[2\] were not planned after 0.05 s"):
        ends.links.wait_for("planned", 0.05)
    ends.say(2, RankAt("planned", 5))
    assert sorted(at.num_pages for at in ends.links.wait_for("planned", 5.0)) == [5, 7]


@pytest.mark.parametrize(
    ("word", "kind"), [(RankFault("no room", True), ConfigError), (RankFault("hm"), RankLostError)]
)
def test_a_fault_is_told_with_its_words(
    ends: Ends, word: RankFault, kind: type[SgliteError]
) -> None:
    ends.say(2, word)
    ends.ranks[2].close()
    assert type(ends.wait_for_loss()) is kind
    with pytest.raises(kind, match=word.message):
        ends.links.check()
    with pytest.raises(kind, match=word.message):
        ends.links.wait_for("ready", 5.0)


def test_a_rank_that_ends_without_a_word_is_lost_and_whoever_asks_later_hears_too(
    ends: Ends,
) -> None:
    ends.ranks[1].close()
    assert "rank 1 of the engine has ended" in str(ends.wait_for_loss())
    heard: list[SgliteError] = []
    ends.links.on_loss(heard.append)
    assert heard == [ends.links.loss]


@pytest.mark.parametrize("data", [b"\0\0\0\1\xc1", b"\xff\xff\xff\xff"])
def test_nonsense_is_a_loss(ends: Ends, data: bytes) -> None:
    ends.ranks[2].sendall(data)
    assert "rank 2" in str(ends.wait_for_loss())


def test_an_end_that_was_asked_for_is_no_loss(ends: Ends) -> None:
    ends.links.begin_closing()
    for sock in ends.ranks.values():
        sock.close()
    ends.links.wait_until_ended(5.0)
    assert ends.links.loss is None


def test_what_a_rank_says_explains_our_own_failure(ends: Ends) -> None:
    def speak_later() -> None:
        time.sleep(0.05)
        ends.say(1, RankFault("the true cause"))

    thread = threading.Thread(target=speak_later)
    thread.start()
    assert str(ends.links.cause_of(RuntimeError("reset"))) == "the true cause"
    thread.join()


def test_our_own_failure_stands_where_nobody_knows_more(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sglite.ranks.rank_links.LAST_WORDS_S", 0.01)
    error = RuntimeError("ours")
    assert ends.links.cause_of(error) is error


@pytest.mark.parametrize("is_asked_first", [True, False])
def test_results_from_elsewhere_find_who_waits(ends: Ends, *, is_asked_first: bool) -> None:
    result = StepResult([4, 2])
    if is_asked_first:
        future = ends.links.result_of(1, 9)
        ends.say(1, StepDone(9, result))
    else:
        ends.say(1, StepDone(9, result))
        ends.say(1, RankAt("ready", 1))
        ends.say(2, RankAt("ready", 1))
        ends.links.wait_for("ready", 5.0)
        future = ends.links.result_of(1, 9)
    assert future.result(5.0) == result


def test_results_that_will_not_come_are_not_waited_for(ends: Ends) -> None:
    before = ends.links.result_of(1, 1)
    ends.ranks[2].close()
    ends.wait_for_loss()
    for future in (before, ends.links.result_of(1, 2)):
        with pytest.raises(RankLostError):
            future.result(5.0)


def test_who_asks_while_a_result_arrives_gets_it_and_nothing_is_kept(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Future[StepResult]] = []

    class SlowFuture(Future[StepResult]):
        def set_result(self, result: StepResult) -> None:
            thread = threading.Thread(target=lambda: asked.append(ends.links.result_of(1, 9)))
            thread.start()
            thread.join(0.1)
            super().set_result(result)

    monkeypatch.setattr("sglite.ranks.rank_links.Future", SlowFuture)
    ends.say(1, StepDone(9, StepResult([4])))
    ends.say(1, RankAt("ready", 1))
    ends.say(2, RankAt("ready", 1))
    ends.links.wait_for("ready", 5.0)
    while not asked:
        time.sleep(0.01)
    assert asked[0].result(5.0) == StepResult([4])
    assert not ends.links.result_of(1, 9).done()
