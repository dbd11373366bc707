"""Requests with grammars at an engine's client: they wait outside, and each ends once."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sglite.engine.engine import Engine
from sglite.errors import CapacityError, EngineDeadError, RequestError
from sglite.ipc.client import InProcessClient
from sglite.ipc.grammar_service import Done, Outcome, PreparedGrammar
from sglite.ipc.request_grammars import RequestGrammars
from sglite.request import FinishReason, GrammarSpec, Request, SamplingParams, Thinking
from sglite.scheduler.plan import RowSetup
from tests.fakes import EOS, expected_output
from tests.ipc.fake_grammars import FakeCompiled, FakeEnds
from tests.ipc.harness import PROMPTS
from tests.ipc.test_client import Caller
from tests.scheduler.harness import SchedulerDriver


class HeldService:
    """Answers when it is told to, in a thread of its own."""

    def __init__(self) -> None:
        self.asked: list[tuple[GrammarSpec, Done]] = []
        self.is_closed = False
        self._news = threading.Condition()

    def prepare(self, spec: GrammarSpec, done: Done) -> None:
        with self._news:
            self.asked.append((spec, done))
            self._news.notify_all()

    def wait_for(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.asked) >= count, 20.0)

    def answer(self, outcome: Outcome, number: int = 0) -> None:
        thread = threading.Thread(target=self.asked[number][1], args=(outcome,))
        thread.start()
        thread.join()

    def close(self) -> None:
        self.is_closed = True


class Setting:
    """A client, its grammars, its service and a caller."""

    def __init__(self, service: Any = None, **options: Any) -> None:
        self.service = service or HeldService()
        self.grammars = RequestGrammars(self.service, **options)
        self.driver = SchedulerDriver.make(page_size=16, num_pages=70_000)
        self.client = InProcessClient(self.driver.engine, self.grammars)
        self.caller = Caller()

    def submit(self, *requests: Request) -> None:
        self.caller.submit(self.client, *requests)

    def num_live(self) -> int:
        return self.client.call(lambda engine: len(engine.scheduler.live))

    def num_kept(self) -> int:
        return self.client.call(lambda engine: len(self.grammars))


@pytest.fixture
def setting() -> Iterator[Setting]:
    setting = Setting()
    yield setting
    setting.client.close()
    assert setting.service.is_closed
    assert not setting.client._callers and not setting.client._waiting


def prepared(text: str = "abc") -> PreparedGrammar:
    return PreparedGrammar(FakeCompiled(text.encode(), 100), tuple(text.encode()), FakeEnds())


def with_grammar(request_id: str, **fields: Any) -> Request:
    settings = {"max_new_tokens": 10, "sampling": SamplingParams(regex="abc"), **fields}
    return Request(
        request_id=request_id,
        prompt_token_ids=PROMPTS[0],
        eos_token_ids=frozenset({EOS}),
        **settings,
    )


def without_grammar(request_id: str) -> Request:
    return with_grammar(request_id, sampling=SamplingParams())


def test_a_request_waits_outside_while_others_run(setting: Setting) -> None:
    setting.submit(with_grammar("waits"), without_grammar("free"))
    setting.caller.wait_for_ends(1)
    assert [finish.request_id for finish in setting.caller.finishes] == ["free"]
    assert setting.num_live() == 0
    assert setting.service.asked[0][0] == GrammarSpec("regex", "abc")
    setting.service.answer(prepared())
    setting.caller.wait_for_ends(2)
    assert setting.caller.tokens["waits"] == expected_output(PROMPTS[0], 10)


def test_its_grammar_is_kept_until_it_ends(setting: Setting) -> None:
    endless = with_grammar("r", max_new_tokens=1_000_000)
    endless = dataclasses.replace(endless, sampling=SamplingParams(regex="abc", ignore_eos=True))
    setting.submit(endless, with_grammar("other"))
    setting.service.wait_for(2)
    setting.service.answer(prepared("ignore this"))
    setting.caller.wait_until(lambda: "r" in setting.caller.tokens)
    assert setting.num_kept() == 1
    ignored = setting.client.call(
        lambda engine: engine.scheduler.live["r"].request.ignored_schema_keywords
    )
    assert ignored == ("format",)
    setting.client.abort(["r"])
    setting.caller.wait_for_ends(1)
    assert setting.num_kept() == 0


def test_an_abort_ends_one_that_waits(setting: Setting) -> None:
    setting.submit(with_grammar("a"), with_grammar("b"))
    setting.service.wait_for(2)
    setting.client.abort(["a", "a", "unknown"])
    setting.caller.wait_for_ends(1)
    (finish,) = setting.caller.finishes
    assert (finish.request_id, finish.reason) == ("a", FinishReason.ABORT)
    assert finish.num_prompt_tokens == len(PROMPTS[0])
    setting.service.answer(prepared(), 0)
    setting.service.answer(prepared(), 1)
    setting.caller.wait_for_ends(2)
    assert setting.num_kept() == setting.num_live() == 0
    assert [finish.request_id for finish in setting.caller.finishes] == ["a", "b"]


def test_an_outcome_is_not_taken_by_a_later_request_of_that_name(setting: Setting) -> None:
    setting.submit(with_grammar("a"))
    setting.service.wait_for(1)
    setting.client.abort(["a"])
    setting.caller.wait_for_ends(1)
    setting.submit(with_grammar("a", max_new_tokens=5))
    setting.service.wait_for(2)
    setting.service.answer(RequestError("too late"), 0)
    setting.service.answer(prepared(), 1)
    setting.caller.wait_for_ends(2)
    assert not setting.caller.refusals


def test_a_name_in_use_is_refused_also_while_it_waits(setting: Setting) -> None:
    setting.submit(with_grammar("a"), with_grammar("a"), without_grammar("a"))
    setting.caller.wait_for_ends(2)
    assert [name for name, _ in setting.caller.refusals] == ["a", "a"]
    assert all(isinstance(error, CapacityError) for _, error in setting.caller.refusals)
    setting.service.answer(prepared())
    setting.caller.wait_for_ends(3)


@pytest.mark.parametrize("error", [RequestError("bad", param="regex"), CapacityError("busy")])
def test_a_refusal_reaches_its_caller(setting: Setting, error: Exception) -> None:
    setting.submit(with_grammar("a"))
    setting.service.wait_for(1)
    setting.service.answer(error)  # type: ignore[arg-type]
    setting.caller.wait_for_ends(1)
    assert setting.caller.refusals == [("a", error)]


def test_an_answer_too_short_for_its_grammar_is_refused(setting: Setting) -> None:
    thinking = Thinking(start_token_id=None, end_token_id=1, is_open=True)
    setting.submit(
        with_grammar("short", max_new_tokens=2),
        with_grammar("just", max_new_tokens=3),
        with_grammar("thinks", max_new_tokens=3, thinking=thinking),
    )
    setting.service.wait_for(3)
    for number in range(3):
        setting.service.answer(prepared(), number)
    setting.caller.wait_for_ends(3)
    (short, error), (thinks, other) = setting.caller.refusals
    assert (short, thinks) == ("short", "thinks")
    assert isinstance(error, RequestError) and error.param == "max_new_tokens"
    assert str(error) == ("max_new_tokens is 2; the shortest answer that fits regex takes 3 tokens")
    assert "takes 4 tokens" in str(other)


def test_the_end_of_the_engine_is_told_to_those_who_wait() -> None:
    setting = Setting()
    setting.submit(with_grammar("a"))
    setting.service.wait_for(1)
    setting.client.close()
    (finish,) = setting.caller.finishes
    assert finish.reason is FinishReason.ABORT
    setting.service.answer(prepared())
    assert len(setting.caller.finishes) == 1 and not setting.caller.refusals


def test_a_fault_of_the_engine_is_told_to_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting()

    def fail(engine: Engine) -> None:
        raise RuntimeError("broken")

    setting.submit(with_grammar("a"))
    setting.service.wait_for(1)
    monkeypatch.setattr(Engine, "step", fail)
    setting.submit(without_grammar("b"))
    setting.caller.wait_for_ends(1)
    setting.client.wait_until_stopped()
    ((name, error),) = setting.caller.refusals
    assert name is None and isinstance(error, EngineDeadError)
    assert setting.service.is_closed


def test_a_grammar_that_is_ready_when_the_engine_fails_comes_too_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setting = Setting()

    def fail(engine: Engine) -> None:
        setting.service.answer(prepared())
        monkeypatch.setattr(Engine, "add", refuse_all)
        raise RuntimeError("broken")

    def refuse_all(engine: Engine, request: Request) -> None:
        raise RuntimeError("a failed engine was asked")

    setting.submit(with_grammar("a"))
    setting.service.wait_for(1)
    monkeypatch.setattr(Engine, "step", fail)
    setting.submit(without_grammar("b"))
    setting.caller.wait_for_ends(1)
    setting.client.wait_until_stopped()
    ((name, error),) = setting.caller.refusals
    assert name is None and isinstance(error, EngineDeadError) and "broken" in str(error)
    assert not setting.client._waiting and setting.service.is_closed


def test_without_a_service_grammars_are_refused_and_say_why() -> None:
    setting = Setting()
    setting.grammars._service = None
    setting.grammars._why_none = "grammars are off (--grammar-backend none)"
    setting.submit(with_grammar("a"), without_grammar("b"))
    setting.caller.wait_for_ends(2)
    ((name, error),) = setting.caller.refusals
    assert name == "a" and isinstance(error, RequestError) and error.param == "regex"
    assert "--grammar-backend none" in str(error)
    setting.client.close()


def test_a_stop_that_is_text_is_text_to_the_grammar(setting: Setting) -> None:
    """So that a jump over it can be replayed; an id beyond the logits is in no mask."""
    stops = (ord("b"), EOS, len(FakeEnds.pieces) + 1)
    setting.submit(with_grammar("r"))
    setting.service.wait_for(1)
    request = with_grammar("r", sampling=SamplingParams(regex="abc", stop_token_ids=stops[:1]))
    assert isinstance(setting.grammars.admit(request, prepared()), Request)
    setup = RowSetup(
        row=0,
        request_id="r",
        sampling=request.sampling,
        logprobs=None,
        seed=0,
        stop_token_ids=stops,
        num_prompt_tokens=1,
        page_ids=([],),
        output_token_ids=[],
        max_new_tokens=10,
    )
    constraint = setting.grammars.make_constraint(setup)
    assert constraint is not None and constraint._end_token_ids == {EOS}
    constraint.replay(list(b"ab"))
    assert constraint.take(ord("c")).is_end
