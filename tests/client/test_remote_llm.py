"""The remote LLM has LLM's methods and asks OpenAI's routes for their answers."""

from __future__ import annotations

import threading

import pytest

from sglite import LLM
from sglite.client.remote_llm import RemoteLLM
from sglite.errors import RemoteError, RequestError
from tests.client.fake_server import FakeServer, Reply, chat_events, completion_events

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def echo_chat(asked):
    return Reply(events=chat_events("echo ", asked.body["messages"][-1]["content"]))


def echo(asked):
    prompt = asked.body["prompt"]
    events = completion_events("echo ", str(prompt), num_choices=asked.body.get("n", 1))
    return Reply(events=events)


@pytest.fixture
def server():
    with FakeServer(**{CHAT: echo_chat, COMPLETIONS: echo}) as fake:
        yield fake


def test_chat_asks_the_first_model_and_states_only_what_was_said(server):
    llm = RemoteLLM(server.url)
    answer = llm.chat([{"role": "user", "content": "hi"}], {"temperature": 0.0})
    assert answer.text == "echo hi"
    assert server.bodies(CHAT) == [
        {
            "model": "tiny",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.0,
        }
    ]


def test_stream_gives_pieces_and_then_the_whole(server):
    with RemoteLLM(server.url, model="other") as llm:
        chunks = list(llm.chat_stream([{"role": "user", "content": "hi"}]))
    assert [chunk.text for chunk in chunks if chunk.text] == ["echo ", "hi"]
    assert chunks[-1].finished.text == "echo hi"
    assert server.bodies(CHAT)[0]["model"] == "other"
    assert [asked.path for asked in server.asked] == [CHAT], "a named model is not looked up"


def test_many_prompts_come_back_in_their_order_with_their_samples(server):
    llm = RemoteLLM(server.url)
    many = [f"p{number}" for number in range(20)]
    assert [each.text for each in llm.generate(many)] == [f"echo {prompt}" for prompt in many]
    done = llm.generate(["a", [1, 2]], [{"n": 2}, None])
    assert [(each.index, each.text) for each in done] == [
        (0, "echo a"),
        (1, "echo a"),
        (2, "echo [1, 2]"),
    ]
    assert llm.generate([1, 2]).text == "echo [1, 2]"
    assert [each.text for each in llm.stream("s")][:2] == ["echo ", "s"]


def test_sampling_must_fit_the_prompts(server):
    with pytest.raises(RequestError, match="2 sampling_params for 1 prompts"):
        RemoteLLM(server.url).generate(["a"], [None, None])


def test_closing_a_stream_hangs_up(server):
    gone, events = threading.Event(), completion_events("a")
    big = {"id": "t1", "choices": [{"index": 0, "text": "x" * 100_000}]}
    server.replies[COMPLETIONS] = Reply(events=[*events[:1], *[big] * 500, gone.set])
    stream = RemoteLLM(server.url).stream("p")
    assert next(stream).text == "a"
    stream.close()
    assert not gone.wait(0.2), "the server could not send the rest"


def test_metrics_of_sglite_are_the_stats_and_other_servers_have_none(server):
    llm = RemoteLLM(server.url)
    assert llm.stats() == {}
    server.replies["/metrics"] = Reply({"scheduler_mode": "lpm", "num_running_reqs": 2})
    assert llm.stats() == {"num_running_reqs": 2}
    server.replies["/metrics"] = Reply(raw=b"# HELP text\n")
    assert llm.stats() == {}


def test_llm_with_a_url_is_remote_and_takes_no_options_of_an_engine(server):
    llm = LLM(url=server.url)
    assert isinstance(llm, RemoteLLM)
    assert LLM("name", url=server.url).model == "name"
    with pytest.raises(TypeError, match="page_size"):
        LLM(url=server.url, page_size=4)


def test_a_server_without_models_is_asked_to_be_named_one(server):
    server.replies["/v1/models"] = Reply({"data": []})
    with pytest.raises(RemoteError, match="lists no model"):
        RemoteLLM(server.url)
