from sglite.router_server.headers import to_client, to_worker, value_of


def test_what_is_about_one_connection_passes_in_neither_direction():
    given = [
        (b"connection", b"close, X-Mine"), (b"x-mine", b"1"), (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"), (b"te", b"trailers"), (b"keep-alive", b"5"), (b"x-kept", b"1"),
    ]  # fmt: skip
    sent = to_worker(given, request_id="id", authorization=None)
    assert sent == [(b"x-kept", b"1"), (b"x-request-id", b"id")]
    assert to_client([(name.title(), value) for name, value in given]) == [(b"x-kept", b"1")]


def test_the_router_answers_for_itself_towards_workers():
    given = [
        (b"authorization", b"Bearer client"), (b"x-request-id", b"theirs"), (b"host", b"a"),
        (b"content-length", b"5"), (b"cookie", b"c"), (b"forwarded", b"for=1"),
        (b"x-forwarded-for", b"1"), (b"x-real-ip", b"1"), (b"expect", b"100-continue"),
    ]  # fmt: skip
    assert to_worker(given, request_id="id", authorization=b"Bearer w") == [
        (b"x-request-id", b"id"),
        (b"authorization", b"Bearer w"),
    ]


def test_the_router_answers_for_itself_towards_clients():
    given = [
        (b"Server", b"uvicorn"), (b"Date", b"d"), (b"X-Request-Id", b"1"), (b"Set-Cookie", b"c"),
        (b"Access-Control-Allow-Origin", b"*"), (b"Content-Length", b"5"), (b"Retry-After", b"1"),
    ]  # fmt: skip
    assert to_client(given) == [(b"content-length", b"5"), (b"retry-after", b"1")]


def test_value_of_a_header_whatever_its_case():
    assert value_of([(b"A", b"1"), (b"a", b"2")], b"a") == b"1"
    assert value_of([], b"a") is None
