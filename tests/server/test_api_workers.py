"""Several HTTP processes in front of one engine: to a client they are one server."""

import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.server.live import live_server

QUESTION = {"text": "The capital of France is", "sampling_params": {"temperature": 0}}
ENDLESS = {
    "text": "a",
    "stream": True,
    "sampling_params": {"max_new_tokens": 1900, "ignore_eos": True},
}
NUM_CONNECTIONS = 24


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("server")
    with live_server("--api-workers", "3", directory=directory) as running:
        yield running


def on_many_connections(server, work):
    """What ``work`` finds on connections of its own: whichever process accepts them."""

    def once(number):
        with server.client() as http:
            return work(http, number)

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(once, range(NUM_CONNECTIONS)))


def test_they_are_there_and_all_answer(server):
    assert len(server.running("server.api_worker")) == 2
    texts = on_many_connections(
        server, lambda http, _: http.post("/generate", json=QUESTION).json()["text"]
    )
    assert texts == [" Paris."] * NUM_CONNECTIONS


def test_metrics_are_those_of_the_whole_server(server):
    def count():
        with server.client() as http:
            found = re.search(
                r"^sglang:num_requests_total\S* (\S+)$", http.get("/metrics").text, re.M
            )
        return float(found[1])

    before = count()
    on_many_connections(server, lambda http, _: http.post("/generate", json=QUESTION))
    for _ in range(100):
        if count() == before + NUM_CONNECTIONS:
            break
        time.sleep(0.05)
    assert {count() for _ in range(8)} == {before + NUM_CONNECTIONS}


def test_a_request_is_aborted_by_its_clients_id_through_any_process(server):
    call = ENDLESS | {"rid": "mine"}
    with server.client() as http, http.stream("POST", "/generate", json=call) as answer:
        lines = answer.iter_lines()
        next(lines)
        on_many_connections(
            server, lambda other, _: other.post("/abort_request", json={"rid": "mine"})
        )
        last = [line for line in lines if line][-2]
    assert json.loads(last[6:])["meta_info"]["finish_reason"]["type"] == "abort"


def test_names_of_prefixes_are_known_to_all(server):
    with server.client() as http:
        pinned = http.post("/prefix", json={"name": "system", "text": "Hello there. " * 40})
        assert pinned.status_code == 200
    listed = on_many_connections(server, lambda http, _: http.get("/prefix").json())
    assert all(one == listed[0] for one in listed)
    assert [each["name"] for each in listed[0]["prefixes"]] == ["system"]
    statuses = on_many_connections(
        server, lambda http, _: http.delete("/prefix/system").status_code
    )
    assert sorted(statuses)[:2] == [200, 404]
    listed = on_many_connections(server, lambda http, _: http.get("/prefix").json()["prefixes"])
    assert listed == [[]] * NUM_CONNECTIONS


def test_unseeded_answers_differ_whichever_process_takes_the_call(server):
    endless = {"temperature": 2.0, "max_new_tokens": 40, "ignore_eos": True}
    sampled = QUESTION | {"sampling_params": endless}
    texts = on_many_connections(
        server, lambda http, _: http.post("/generate", json=sampled).json()["text"]
    )
    assert len(set(texts)) == NUM_CONNECTIONS


def test_ctrl_c_drains_all_of_them(tmp_path):
    options = ("--api-workers", "2", "--drain-timeout", "120")
    with live_server(*options, directory=tmp_path) as server:
        long = ENDLESS | {"sampling_params": {"max_new_tokens": 300, "ignore_eos": True}}

        def read(http, _):
            try:
                with http.stream("POST", "/generate", json=long) as answer:
                    return [line for line in answer.iter_lines() if line][-2:]
            except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
                return []  # nobody had accepted the connection

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(on_many_connections, server, read)
            with server.client() as http:
                while json.loads(http.get("/v1/loads").text)["loads"][0]["num_running_reqs"] < 8:
                    time.sleep(0.01)
            time.sleep(1.0)
            server.interrupt()
            ends = reading.result(timeout=120)
        served = [end for end in ends if end and end[-1] == "data: [DONE]"]
        assert len(served) >= 8
        for last, _done in served:
            assert json.loads(last[6:])["meta_info"]["completion_tokens"] == 300
        assert server.wait() == 0
        server.assert_nothing_left()


def test_death_of_one_is_told_and_ends_the_server_with_1(tmp_path):
    with live_server("--api-workers", "2", directory=tmp_path) as server:
        os.kill(server.running("server.api_worker")[0], signal.SIGKILL)
        assert server.wait() == 1
        assert "api_worker_failed" in server.errors
        server.assert_nothing_left()


def test_death_of_the_first_ends_all(tmp_path):
    with live_server("--api-workers", "2", directory=tmp_path) as server:
        pids = server.children()
        os.kill(server.process.pid, signal.SIGKILL)
        server.wait()
        deadline = time.monotonic() + 5
        while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.children() == []
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 1).close()
