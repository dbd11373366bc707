"""Programs over a server say what programs over an LLM say; a server that is none is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sglite import LLM, lang
from sglite.client.remote_llm import RemoteLLM
from sglite.errors import RemoteError, RequestError
from sglite.lang.backend import Prompt, as_backend
from sglite.lang.server_backend import ServerBackend
from tests.client.fake_server import FakeServer, Reply
from tests.server.live import live_server

GREEDY = {"temperature": 0.0, "max_new_tokens": 12, "ignore_eos": True}
SKY = Prompt("The colour of the sky is", False)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("server")
    with live_server("--max-total-tokens", "8192", directory=directory) as server:
        yield server.url


@lang.function
def everything(s, question):
    s += lang.system("You are brief.")
    s += lang.user(question)
    s += lang.assistant(lang.gen("answer", max_tokens=16, stop="."))
    s += lang.user("Which colour?")
    s += lang.assistant(lang.select("colour", ["red", "green", "blue"]))
    forks = s.fork(2)
    for number, fork in enumerate(forks):
        fork += f"({number})" + lang.gen("more", max_tokens=6, return_logprob=True)
    forks.join()


def test_a_server_and_an_llm_agree_on_a_whole_program(url):
    with LLM(max_total_tokens=8192) as llm:
        here, there = (
            everything.run("Who are you?", temperature=0.0, backend=backend)
            for backend in (llm, LLM(url=url))
        )
        assert there.text() == here.text() and there["more"] == here["more"]
        assert there.messages() == here.messages()
    scores = [state.get_meta_info("colour")["input_token_logprobs"] for state in (here, there)]
    assert scores[1] == [pytest.approx(each, abs=1e-4) for each in scores[0]]


def test_a_stream_comes_in_pieces_with_its_counts(url):
    backend = as_backend(url)
    assert isinstance(backend, ServerBackend)
    (whole,) = backend.generate(SKY, GREEDY, {})
    pieces = list(backend.stream(SKY, GREEDY, {}))
    assert len(pieces) > 2 and "".join(piece.text for piece in pieces) == whole.text
    assert pieces[-1].meta_info["completion_tokens"] == 12
    assert len(backend.generate(SKY, GREEDY | {"n": 2}, {})) == 2


def test_a_refusal_is_the_servers_own(url):
    @lang.function
    def program(s):
        s += "a" + lang.gen("x", top_p=7)

    state = program.run(backend=url)
    with pytest.raises(RequestError, match="top_p"):
        state.text()


def test_many_sequences_are_scored_in_calls_of_bounded_size(monkeypatch):
    def answer(asked):
        scored = {"text": "", "meta_info": {"input_token_logprobs": [[None, 1, None]]}}
        return Reply(body=[scored] * len(asked.body["input_ids"]))

    monkeypatch.setattr("sglite.lang.server_backend.MAX_PROMPTS", 3)
    with FakeServer(**{"/generate": answer}) as server:
        backend = ServerBackend(RemoteLLM(server.url, model="m"))
        assert backend.prompt_logprobs([[1]] * 7, 0) == [[None]] * 7
        assert [len(each["input_ids"]) for each in server.bodies("/generate")] == [3, 3, 1]


def test_a_server_that_renders_nothing_or_answers_nonsense_is_named():
    with FakeServer(
        **{
            "/tokenize": lambda asked: Reply(body={"tokens": [1]}),
            "/generate": lambda asked: Reply(body={"choices": []}),
        }
    ) as server:
        backend = ServerBackend(RemoteLLM(server.url, model="m"))
        with pytest.raises(RemoteError, match="tells no prompt"):
            backend.render([], True)
        with pytest.raises(RemoteError, match="something else"):
            backend.generate(SKY, {}, {})
