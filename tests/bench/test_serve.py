"""The command measures one server or several, and says what it was not given."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from sglite.bench import serve
from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError, RemoteError
from tests.client.fake_server import FakeServer, Reply, completion_events

SMALL = ["--num-sessions", "6", "--input-len", "4", "--concurrency", "2"]


def run(*words):
    return serve.main([*map(str, words)], parser_class=CommandParser)


@pytest.fixture
def server():
    reply = Reply(events=completion_events("a", "b"))
    with FakeServer(**{"/v1/completions": reply, "/flush_cache": Reply(raw=b"ok\n")}) as fake:
        yield fake


def test_one_server_in_a_table_and_in_files(server, capsys, tmp_path):
    picture, figures = tmp_path / "a.svg", tmp_path / "a.json"
    goals = ["--goodput", "ttft:60000", "e2e:60000"]
    words = ["--url", server.url, *SMALL, "--svg", picture, "--json", figures, *goals]
    assert run(*words, "--api_key", "secret") == 0
    out = capsys.readouterr().out
    assert "time per output token, p99" in out
    assert "(100%)" in out
    (summary,) = json.loads(figures.read_text())["servers"].values()
    assert (summary["num_requests"], summary["num_failed"]) == (6, 0)
    assert summary["num_output_tokens"] == 12
    assert picture.read_text().startswith("<svg")
    bodies = server.bodies("/v1/completions")
    assert len(bodies) == 7, "one more to warm up"
    assert {len(body["prompt"]) for body in bodies} == {4}
    assert {body["model"] for body in bodies} == {"tiny"}
    assert server.asked[-1].headers["authorization"] == "Bearer secret"
    assert "secret" not in figures.read_text() + out


def test_servers_are_compared_on_the_same_calls(server, capsys):
    with FakeServer(**{"/generate": Reply({"error": "no"}, status=500)}) as other:
        urls = ["--url", f"ours={server.url}", "--url", f"theirs={other.url}"]
        apis = ["--api", "openai", "--api", "sglang"]
        assert run(*urls, *apis, *SMALL, "--warmup", 0, "--json", "-") == 1
    servers = json.loads(capsys.readouterr().out)["servers"]
    assert [servers[name]["num_failed"] for name in ("ours", "theirs")] == [0, 6]
    prompts = [body["prompt"] for body in server.bodies("/v1/completions")]
    same = [body["input_ids"] for body in other.bodies("/generate")]
    assert sorted(prompts) == sorted(same), "two users ask in any order"


def test_cache_is_flushed_between_warm_up_and_load(server):
    run("--url", server.url, *SMALL, "--flush-cache")
    paths = [asked.path for asked in server.asked]
    assert paths[:4] == ["/v1/models", "/v1/completions", "/flush_cache", "/v1/completions"]


def test_what_the_server_says_of_its_ranks_stands_in_the_result(capsys):
    routes = {
        "/v1/completions": Reply(events=completion_events("a", "b")),
        "/server_info": Reply({"tp_size": 2, "pp_size": 1, "dp_size": 2}),
    }
    with FakeServer(**routes) as fake:
        assert run("--url", f"ours={fake.url}", *SMALL, "--json", "-") == 0
        ours = json.loads(capsys.readouterr().out)["servers"]["ours"]
        assert (ours["tp_size"], ours["dp_size"]) == (2, 2)
        assert "pp_size" not in ours
        fake.replies["/server_info"] = Reply(raw=b"[1]")
        assert run("--url", f"ours={fake.url}", *SMALL) == 0
        assert "ranks and engines" not in capsys.readouterr().out


def test_a_trace_comes_when_it_says(server, tmp_path, capsys):
    trace = tmp_path / "t.jsonl"
    lines = [{"arrival_s": 0.01 * n, "prompt_tokens": n, "max_tokens": 2} for n in range(1, 4)]
    trace.write_text("\n".join(map(json.dumps, lines)))
    assert run("--url", server.url, "--workload", "trace", "--trace", trace, "--json", "-") == 0
    assert [len(body["prompt"]) for body in server.bodies("/v1/completions")] == [1, 1, 2, 3]
    (summary,) = json.loads(capsys.readouterr().out)["servers"].values()
    assert summary["duration_s"] >= 0.02


def test_without_a_url_a_server_is_started_with_the_other_flags(server, monkeypatch, capsys):
    given = []

    @contextmanager
    def own_server(flags):
        given.extend(flags)
        yield server.url

    monkeypatch.setattr(serve, "own_server", own_server)
    assert run(*SMALL, "--page-size", 4, "--model", "m") == 0
    assert given == ["--page-size", "4", "--model", "m"]


def test_a_server_that_fails_at_once_is_not_measured(server):
    server.replies["/v1/completions"] = Reply({"error": "no"}, status=500)
    with pytest.raises(RemoteError, match="the first call failed"):
        run("--url", server.url, *SMALL)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--goodput", "ttft"], "--goodput 'ttft'"),
        (["--goodput", "speed:3"], "--goodput 'speed:3'"),
        (["--goodput", "ttft:nan"], "--goodput"),
        (["--concurrency", "0"], "--concurrency 0"),
        (["--concurrency", "many"], "--concurrency"),
        (["--request-rate", "0"], "--request-rate 0"),
        (["--range-ratio", "2"], "--range-ratio"),
        (["--num-sessions", "0"], "--num-sessions"),
        (["--workload", "trace"], "needs --trace"),
        (["--workload", "none"], "--workload"),
        (["--api", "openai", "--api", "sglang"], "--api is given 2 times"),
        (["--extra-body", "[]"], "--extra-body"),
        (["--extra-body", "{"], "--extra-body"),
        (["--url", "x://y"], "not the URL of a server"),
        (["--url", "a=http://x", "--url", "a=http://y"], "a is given twice"),
        (["--page-size", "4"], "--page-size is not an option here"),
    ],
)
def test_bad_words_are_refused(words, message, server):
    urls = [] if "a=http://x" in words or "x://y" in words else ["--url", server.url]
    with pytest.raises(ConfigError, match=message):
        run(*urls, "--num-sessions", "1", *words)


def test_a_url_names_its_column():
    words = ["http://h:1/v1", "b=https://h", "http://h/?a=1"]
    assert serve.read_urls(words) == {
        "h:1/v1": "http://h:1/v1",
        "b": "https://h",
        "h/?a=1": "http://h/?a=1",
    }
