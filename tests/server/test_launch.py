"""The whole server: real processes, real sockets, the embedded model."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from sglite.cli import main
from sglite.config import ServerConfig
from sglite.server import launch
from sglite.server.listen import bind
from tests.server.asgi import events
from tests.server.fake_engine import make_front
from tests.server.live import LiveServer, live_server

QUESTION = {"text": "The capital of France is", "sampling_params": {"temperature": 0}}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with live_server(directory=tmp_path_factory.mktemp("server")) as running:
        yield running


def test_health_and_an_answer(server):
    with server.client() as http:
        assert http.get("/health").status_code == 200
        assert http.get("/ready").status_code == 200
        assert http.get("/health_generate").status_code == 200
        answer = http.post("/generate", json=QUESTION).json()
        assert answer["text"] == " Paris."


def test_stream_has_the_same_text(server):
    with server.client() as http:
        answer = http.post("/generate", json=QUESTION | {"stream": True})
        *chunks, done = events(answer.text)
        assert done == "[DONE]"
        assert chunks[-1]["text"] == " Paris."


def test_model_is_described_and_named(server):
    with server.client() as http:
        card = http.get("/v1/models").json()["data"][0]
        assert card["max_model_len"] == 2048
        info = http.get("/get_model_info").json()
        assert os.path.isdir(info["tokenizer_path"])
        assert http.get("/server_info").json()["port"] == 0
        assert "/generate" in http.get("/openapi.json").json()["paths"]
        assert "sglang:" in http.get("/metrics").text


def test_cache_can_be_flushed_from_here(server):
    with server.client() as http:
        for _ in range(100):  # the last answer may not be settled yet
            if http.post("/flush_cache").status_code == 200:
                return
            time.sleep(0.05)
    raise AssertionError("the cache was never idle")


def test_caller_who_leaves_frees_the_engine(server):
    endless = {
        "text": "a",
        "stream": True,
        "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True},
    }
    with server.client() as http:
        with http.stream("POST", "/generate", json=endless) as answer:
            next(answer.iter_bytes())
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            state = http.get("/v1/loads").json()
            if '"num_running_reqs":0' in json.dumps(state).replace(" ", ""):
                return
            time.sleep(0.05)
    raise AssertionError(f"the request still runs: {state}")


def test_processes_listen_on_this_machine_alone(server):
    port = int(server.url.rpartition(":")[2])
    with open("/proc/net/tcp") as table:
        addresses = [line.split()[1] for line in table.readlines()[1:] if line.split()[3] == "0A"]
    assert [each for each in addresses if int(each.split(":")[1], 16) == port] == [
        f"0100007F:{port:04X}"
    ]


def test_ctrl_c_finishes_what_runs_and_leaves_nothing(tmp_path):
    with live_server("--drain-timeout", "120", directory=tmp_path) as server:
        assert len(server.running("ipc.engine_process")) == 1
        assert len(server.running("server.render_process")) == 1
        assert len(server.children()) == 2
        sampling = {"max_new_tokens": 400, "ignore_eos": True}
        long = QUESTION | {"stream": True, "sampling_params": sampling}
        with server.client() as http, http.stream("POST", "/generate", json=long) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.interrupt()
            *_, last, done = [line for line in lines if line]
        assert done == "data: [DONE]"
        assert json.loads(last[6:])["meta_info"]["completion_tokens"] == 400
        assert server.wait() == 0
        assert "Traceback" not in server.errors
        server.assert_nothing_left()
        bind("127.0.0.1", int(server.url.rpartition(":")[2])).close()


def test_death_of_the_engine_is_told_and_ends_the_server_with_1(tmp_path):
    with live_server(directory=tmp_path) as server:
        endless = {
            "text": "a",
            "stream": True,
            "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True},
        }
        with server.client() as http, http.stream("POST", "/generate", json=endless) as answer:
            lines = answer.iter_lines()
            next(lines)
            os.kill(server.running("ipc.engine_process")[0], signal.SIGKILL)
            last = [line for line in lines if line]
        assert last[-1] == "data: [DONE]"
        assert "error" in json.loads(last[-2][6:])
        assert server.wait() == 1
        server.assert_nothing_left()


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 1.0, 2.0])
def test_ctrl_c_during_the_start_leaves_nothing(tmp_path, delay_s):
    server = LiveServer(directory=tmp_path)
    try:
        time.sleep(delay_s)
        server.interrupt()
        try:
            code = server.wait(10)
        except subprocess.TimeoutExpired:  # Python lost it while it started: press again
            server.interrupt()
            code = server.wait(10)
        assert code in (0, 130, -signal.SIGINT)
        server.assert_nothing_left()
    finally:
        server.kill()


def test_killed_server_takes_its_engine_along(tmp_path):
    with live_server(directory=tmp_path) as server:
        server.process.kill()
        server.wait()
        server.assert_nothing_left()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--host", "192.0.2.1"], "there is no key"),
        (["--model", "/no/such/model"], "does not exist"),
        (["--api-workers", "0"], "--api-workers: 0 is not allowed"),
        (["--trust-remote-code"], "runs no code"),
        (["--port", "x"], "is not allowed"),
        (["--api-key-file", "/no/such/file"], "cannot be read"),
    ],
)
def test_bad_options_are_one_line_and_2_before_anything_is_loaded(capsys, arguments, message):
    assert main(["serve", *arguments]) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1


def test_port_in_use_is_2(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "is in use" in capsys.readouterr().err


def test_bad_model_found_by_the_engine_is_2(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["Nonsense"], "model_type": "x"}')
    server = LiveServer("--model", str(model), "--skip-tokenizer-init", directory=tmp_path)
    try:
        assert server.wait() == 2
        assert "Traceback" not in server.errors
        server.assert_nothing_left()
    finally:
        server.kill()


def test_ready_line_says_what_a_person_wants_to_know():
    async def make(**options):
        return make_front(**options)

    embedded = launch.ready_line(asyncio.run(make()), "http://127.0.0.1:1")
    assert embedded.startswith("http://127.0.0.1:1 serves the embedded model: context 1,024 tokens")
    assert "sglite serve --model" in embedded
    own = launch.ready_line(asyncio.run(make(model_path="a/b")), "http://x:1")
    assert own.startswith("http://x:1 serves a/b:")
    assert "embedded" not in own


def test_engine_gets_no_keys():
    config = ServerConfig(api_key="secret", admin_api_key="secret", port=7)
    assert not {"api_key", "admin_api_key", "port"} & config.engine_config().to_dict().keys()
