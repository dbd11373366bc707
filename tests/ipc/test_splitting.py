from __future__ import annotations

from sglite.ipc.splitting import split_outputs
from sglite.request import OutputBatch, TokenLogprobs
from tests.fakes import finish_of

OWNERS = {"a": "one", "b": "two", "c": "one"}


def test_each_owner_gets_its_columns_with_logprobs_at_their_tokens() -> None:
    outputs = OutputBatch(
        started=[("a", 3), ("b", 4)],
        tokens=[("b", 10), ("a", 11), ("b", 12), ("c", 13)],
        logprobs={1: TokenLogprobs(11, -1.1), 2: TokenLogprobs(12, -1.2)},
        prompt_logprobs=[("c", [TokenLogprobs(9, -0.9)])],
        finished=[finish_of("b"), finish_of("c")],
    )
    parts = dict(split_outputs(outputs, OWNERS.__getitem__))
    first, second = parts["one"], parts["two"]
    assert first.started == [("a", 3)] and second.started == [("b", 4)]
    assert first.tokens == [("a", 11), ("c", 13)] and second.tokens == [("b", 10), ("b", 12)]
    assert first.logprobs == {0: TokenLogprobs(11, -1.1)}
    assert second.logprobs == {1: TokenLogprobs(12, -1.2)}
    assert first.prompt_logprobs == [("c", [TokenLogprobs(9, -0.9)])]
    assert not second.prompt_logprobs
    assert [f.request_id for f in first.finished] == ["c"]
    assert [f.request_id for f in second.finished] == ["b"]


def test_an_owner_with_no_news_is_not_disturbed() -> None:
    outputs = OutputBatch(tokens=[("a", 1), ("c", 2)])
    [(owner, part)] = split_outputs(outputs, OWNERS.__getitem__)
    assert owner == "one" and part is outputs


def test_nothing_has_no_owner() -> None:
    assert split_outputs(OutputBatch(), OWNERS.__getitem__) == []
