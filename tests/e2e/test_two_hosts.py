"""One engine on two hosts: the second is a network namespace, which shares no address with us."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.server.live import LiveServer, live_server

NAMESPACE = "sglite-host"
OUR_END, THEIR_END = "sglite-a", "sglite-b"
OUR_ADDRESS, THEIR_ADDRESS = "10.203.77.1", "10.203.77.2"
PORT = 29511
INSIDE = ("ip", "netns", "exec", NAMESPACE)
RANK = "ranks.rank_process"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def take_apart() -> None:
    """Remove the other host; with it goes the cable."""
    for words in (("netns", "del", NAMESPACE), ("link", "del", OUR_END)):
        subprocess.run(["ip", *words], check=False, capture_output=True)


@pytest.fixture(scope="module")
def other_host() -> Iterator[None]:
    """A network namespace, and a cable to it."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    take_apart()
    try:
        ip("netns", "add", NAMESPACE)
        ip("link", "add", OUR_END, "type", "veth", "peer", "name", THEIR_END)
        ip("link", "set", THEIR_END, "netns", NAMESPACE)
        ip("addr", "add", f"{OUR_ADDRESS}/24", "dev", OUR_END)
        ip("link", "set", OUR_END, "up")
        subprocess.run([*INSIDE, "ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(
            [*INSIDE, "ip", "addr", "add", f"{THEIR_ADDRESS}/24", "dev", THEIR_END], check=True
        )
        subprocess.run([*INSIDE, "ip", "link", "set", THEIR_END, "up"], check=True)
    except subprocess.CalledProcessError as error:
        take_apart()
        pytest.skip(f"no network namespace can be made here: {error.stderr}")
    yield
    take_apart()


@contextlib.contextmanager
def two_hosts(tmp_path: Path, *options: str) -> Iterator[tuple[LiveServer, LiveServer]]:
    """The server on our host, and what computes for it on the other."""
    key_file = tmp_path / "key"
    key_file.write_text("5f0c" * 16)
    shared = [*options, "--nnodes", "2", "--dist-init-addr", f"{OUR_ADDRESS}:{PORT}"]
    shared += ["--dist-key-file", str(key_file), "--dist-timeout-s", "10"]
    directories = [tmp_path / "host0", tmp_path / "host1"]
    for directory in directories:
        directory.mkdir()
    node = LiveServer(*shared, "--node-rank", "1", directory=directories[1], prefix=INSIDE)
    try:
        with live_server(*shared, directory=directories[0]) as server:
            yield server, node
    finally:
        node.kill()


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--tp", "2"), ("--pp", "2")], ids=["tp", "pp"])
def test_two_hosts_answer_the_openai_client(
    other_host: None, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with two_hosts(tmp_path, *options) as (server, node):
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=60.0)
        message = {"role": "user", "content": "What is the capital of France?"}
        asked = {"model": "sglite", "messages": [message], "temperature": 0, "max_tokens": 100}
        answer = client.chat.completions.create(**asked)
        assert "Paris" in str(answer.choices[0].message.content)
        pieces = client.chat.completions.create(**asked, stream=True)
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
        assert text == answer.choices[0].message.content
        assert len(node.running(RANK)) == 1
        server.interrupt()
        assert server.wait() == 0
        assert node.wait(20.0) == 0
        server.assert_nothing_left()
        node.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["rank", "cable"])
def test_a_host_that_is_lost_ends_both_with_an_error(
    other_host: None, tmp_path: Path, what: str
) -> None:
    with two_hosts(tmp_path, "--tp", "2") as (server, node):
        client = openai.OpenAI(
            base_url=f"{server.url}/v1", api_key="none", timeout=60.0, max_retries=0
        )
        stream = client.completions.create(
            model="sglite", prompt="Once", max_tokens=1500, stream=True,
            extra_body={"ignore_eos": True},
        )  # fmt: skip
        next(iter(stream))
        if what == "rank":
            os.kill(node.running(RANK)[0], signal.SIGKILL)
        else:
            ip("link", "set", OUR_END, "down")
        try:
            started_s = time.monotonic()
            with pytest.raises((openai.APIError, openai.APIConnectionError)):
                for _ in stream:
                    pass
            assert server.wait(45.0) == 1
            assert node.wait(45.0) == 1
            assert time.monotonic() - started_s < 40.0
        finally:
            ip("link", "set", OUR_END, "up")
        server.assert_nothing_left()
