import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from sglite.server.http import body as module
from sglite.server.http.body import BodyError, check_headers, parse_object, read_json


def request(*messages, headers=(), state=None):
    """A request whose body comes in these pieces; then it blocks."""
    waiting = [dict(message) for message in messages]

    async def receive():
        if waiting:
            return waiting.pop(0)
        return await asyncio.Event().wait()

    raw = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw, "state": state or {}}
    return Request(scope, receive)


def piece(data, *, more=False):
    return {"type": "http.request", "body": data, "more_body": more}


def read(*messages, **options):
    may_be_empty = options.pop("may_be_empty", False)
    return asyncio.run(read_json(request(*messages, **options), may_be_empty=may_be_empty))


def test_an_object_in_one_byte_pieces_is_read():
    data = b'{"a": [1, "\xc3\xa9"]}'
    pieces = [piece(data[i : i + 1], more=i + 1 < len(data)) for i in range(len(data))]
    assert read(*pieces) == {"a": [1, "é"]}


def test_of_equal_keys_the_last_counts():
    assert parse_object(b'{"a": 1, "a": 2}') == {"a": 2}


def test_long_integers_arrive_as_they_are():
    assert parse_object(b'{"a": 100000000000000000000}') == {"a": 10**20}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"[1]", "must be a JSON object"),
        (b'"a"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a": NaN}', "not valid JSON"),
        (b'{"a": Infinity}', "not valid JSON"),
        (b'{"a": -Infinity}', "not valid JSON"),
        (b'{"a": 1e400}', "out of range"),
        (b'{"a": ' + b"1" * 5000 + b"}", "out of range"),
        (b'{"a": 1', "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1}x', "not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid UTF-8"),
        (b'{"a": "\\ud800"}', "not valid JSON"),
        (b'{"a": "\x00"}', "not valid JSON"),
        (b"\x1f\x8b\x08", "not valid JSON"),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "more than 64 levels"),
        (b'{"a":' + b"[" * 100_000, "more than 64 levels"),
        (b'{"a":[' + b"[]," * 200_000 + b"[]]}", "lists and objects"),
    ],
)
def test_what_is_no_plain_json_object_is_a_400(data, message):
    with pytest.raises(BodyError, match=message) as caught:
        parse_object(data)
    assert caught.value.status == 400


def test_64_levels_pass_and_brackets_in_strings_do_not_count():
    assert parse_object(b'{"a":' * 64 + b"1" + b"}" * 64)
    text = '{"a": "' + '[{\\"' * 1000 + '"}'
    assert parse_object(text.encode())["a"].startswith('[{"[{"')
    text = '{"a": "' + "[\\\\" * 1000 + '", "b": [{}]}'
    assert parse_object(text.encode())["a"] == "[\\" * 1000


def test_a_text_without_an_end_costs_no_more_than_others():
    for text in (b'\\"' * 1_000_000, b"a" * (16 << 20), b"\\" * 1_000_001):
        with pytest.raises(BodyError, match="more than 64 levels"):
            parse_object(b'{"a":' + b"[" * 65 + b'"' + text)


def test_message_never_repeats_what_came_in():
    with pytest.raises(BodyError) as caught:
        parse_object(b'{"key": secret}')
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=UTF-8", "application/problem+json"]
)
def test_json_types_pass(kind):
    check_headers(request(headers=[("content-type", kind)]))
    check_headers(request())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("content-type", "text/plain")], 400),
        ([("content-type", "application/x-www-form-urlencoded")], 400),
        ([("content-type", "multipart/form-data; boundary=x")], 400),
        ([("content-type", "")], 400),
        ([("content-type", "application/json; charset=latin-1")], 400),
        ([("content-encoding", "gzip")], 415),
    ],
)
def test_other_types_and_encodings_are_refused(headers, status):
    with pytest.raises(BodyError) as caught:
        check_headers(request(headers=headers))
    assert caught.value.status == status


def test_too_many_bytes_are_refused_while_they_come(monkeypatch):
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 10)
    with pytest.raises(BodyError) as caught:
        read(piece(b"x" * 6, more=True), piece(b"x" * 6, more=True))
    assert caught.value.status == 413
    assert caught.value.headers == {"Connection": "close"}


def test_content_length_is_not_believed():
    assert read(piece(b"{}"), headers=[("content-length", "999999999999")]) == {}


def test_slow_body_is_a_408():
    with pytest.raises(BodyError) as caught:
        read(piece(b"{", more=True), state={"read_timeout_s": 0.01})
    assert caught.value.status == 408


def test_caller_who_leaves_in_the_middle_is_no_error_of_ours():
    with pytest.raises(ClientDisconnect):
        read(piece(b"{", more=True), {"type": "http.disconnect"})


def test_an_empty_body_passes_only_where_it_may():
    assert read(piece(b""), may_be_empty=True, headers=[("content-type", "text/plain")]) == {}
    with pytest.raises(BodyError, match="empty"):
        read(piece(b""))
