"""The client reads what servers send, in pieces of any size, and says plainly what went wrong."""

from __future__ import annotations

import io
import socket

import pytest

from sglite.client.http import HttpClient, error_of, parse_url, read_events
from sglite.errors import CapacityError, ConfigError, RemoteError, RequestError
from tests.client.fake_server import FakeServer, Reply


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("http://127.0.0.1:30000", (False, "127.0.0.1", 30000, "")),
        ("localhost:8000/", (False, "localhost", 8000, "")),
        ("http://host/v1", (False, "host", 80, "")),
        ("https://host/proxy/a/v1/", (True, "host", 443, "/proxy/a")),
        ("http://[::1]:1234", (False, "::1", 1234, "")),
    ],
)
def test_url_as_people_write_it(url, parsed):
    assert parse_url(url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://host", "http://", "http://host:port", "http://me:secret@host"),
        *("http://h/?a=1", "http://host/\r\nX: y", "http://ho st"),
    ],
)
def test_a_bad_url_is_refused_without_repeating_a_password(url):
    with pytest.raises(ConfigError) as caught:
        HttpClient(url)
    assert "secret" not in str(caught.value)


def test_a_key_that_would_forge_a_header_is_refused():
    with pytest.raises(ConfigError, match="header"):
        HttpClient("http://host", api_key="a\r\nX-Other: b")


def test_json_goes_out_and_comes_back_with_the_key():
    with FakeServer(**{"/echo": lambda asked: Reply(asked.body)}) as server:
        http = HttpClient(server.url, api_key="k1")
        assert http.post_json("/echo", {"text": "ä"}) == {"text": "ä"}
        assert http.get_json("/v1/models")["data"][0]["id"] == "tiny"
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer k1"] * 2


def test_events_come_one_by_one():
    events = [{"n": 1}, b": a comment\n\nevent: x\nda", b'ta:{"n":\ndata: 2}\n\n', {"n": 3}]
    with FakeServer(**{"/s": Reply(events=events)}) as server:
        assert list(HttpClient(server.url).post_events("/s", {})) == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_stream_that_breaks_off_is_an_error_not_an_end():
    with (
        FakeServer(**{"/s": Reply(events=[{"n": 1}], ends_with_done=False)}) as server,
        pytest.raises(RemoteError, match="before the answer ended"),
    ):
        list(HttpClient(server.url).post_events("/s", {}))


def test_an_error_inside_a_stream_is_raised_by_its_code():
    error = {"error": {"message": "bad seed", "code": 400, "param": "seed"}}
    with FakeServer(**{"/s": Reply(events=[{"n": 1}, error])}) as server:
        events = HttpClient(server.url).post_events("/s", {})
        assert next(events) == {"n": 1}
        with pytest.raises(RequestError, match="bad seed") as caught:
            next(events)
        assert caught.value.param == "seed"


def test_json_instead_of_a_stream_is_said():
    with (
        FakeServer(**{"/s": Reply({"n": 1})}) as server,
        pytest.raises(RemoteError, match="application/json, not a stream"),
    ):
        list(HttpClient(server.url).post_events("/s", {}))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, RequestError), (404, RequestError), (401, ConfigError), (403, ConfigError)),
        *((429, CapacityError), (503, CapacityError), (500, RemoteError), (302, RemoteError)),
    ],
)
def test_a_status_becomes_the_exception_of_its_kind(status, kind):
    refusal = Reply({"error": {"message": "why not"}}, status=status)
    with FakeServer(**{"/x": refusal}) as server, pytest.raises(kind, match="why not"):
        HttpClient(server.url).post_json("/x", {})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "m1"}}', "m1"),
        (b'{"object": "error", "message": "m2"}', "m2"),
        (b'{"detail": "m3"}', "m3"),
        (b'{"error": "m4"}', "m4"),
        (b"<html>\n m5 </html>", "<html> m5 </html>"),
        (b"[]", "[]"),
        (b"", "no reason given"),
        (b"x" * 1000, "x" * 300 + "..."),
    ],
)
def test_message_is_found_in_any_shape_of_error_body(body, message):
    assert str(error_of("u", 400, body, None)) == message


def test_when_to_try_again_is_kept():
    assert error_of("u", 503, b"", "7").retry_after_s == 7
    assert error_of("u", 503, b"", "Wed, 21 Oct").retry_after_s is None


def test_nobody_there_is_said_with_the_address():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(RemoteError, match=rf"127.0.0.1:{port} cannot be reached"):
        HttpClient(f"http://127.0.0.1:{port}").get_json("/x")


def test_a_server_that_says_nothing_times_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RemoteError, match="does not answer"):
            HttpClient(url, read_timeout_s=0.05).get_json("/x")


def test_what_is_not_json_is_said():
    no_json = Reply(raw=b"hello")
    with FakeServer(**{"/x": no_json}) as server, pytest.raises(RemoteError, match="not JSON"):
        HttpClient(server.url).get_json("/x")


def test_last_event_counts_even_without_an_empty_line():
    assert list(read_events(io.BytesIO(b"data: a\n\nid: 3\ndata: b\n"))) == ["a", "b"]
