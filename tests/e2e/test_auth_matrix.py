"""T16: who may call what, for every route of the application, however the call is dressed up."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sglite.server.app import build_app, load_protocols
from sglite.server.telemetry.metrics import ServerMetrics
from sglite.server.telemetry.observation import Observation
from sglite.server.telemetry.request_log import RequestLog
from tests.e2e.http_calls import Answer, Call, exchange
from tests.server.asgi import RawCall
from tests.server.fake_engine import make_front
from tests.server.live import LiveServer, live_server

KEY = "sk-correct-horse-battery"
ADMIN = "sk-admin-staple-wisdom"
WRONG = "sk-wrong-horse-battery"

OPEN = {"/health", "/health/live", "/health/ready", "/ready", "/ping"}
CONTROL = {
    "/flush_cache",
    "/pause_generation",
    "/continue_generation",
    "/start_profile",
    "/stop_profile",
    "/prefix",
    "/prefix/{name}",
}
USER = {
    "/abort_request",
    "/detokenize",
    "/generate",
    "/get_load",
    "/get_model_info",
    "/get_server_info",
    "/health_generate",
    "/metrics",
    "/model_info",
    "/openapi.json",
    "/parse_function_call",
    "/separate_reasoning",
    "/server_info",
    "/tokenize",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/detokenize",
    "/v1/loads",
    "/v1/models",
    "/v1/models/{model_id:path}",
    "/v1/tokenize",
}
"""Every route stands in one of the three lists: a new one needs a decision, and a line here."""

UNKNOWN = (
    "/", "", "*", "/nope", "/v1", "/v1/", "/docs", "/redoc", "/admin", "/health2", "/healthz",
    "/HEALTH", "/health/live/x", "/.well-known/x", "/v1/responses", "/v1/models/a/../../health",
)  # fmt: skip
METHODS = (
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW",
)  # fmt: skip

Headers = list[tuple[bytes, bytes]]


def bearer(key: bytes) -> Headers:
    return [(b"authorization", b"Bearer " + key)]


BAD_KEYS: dict[str, Headers] = {
    "none": [],
    "wrong": bearer(WRONG.encode()),
    "empty": bearer(b""),
    "prefix": bearer(KEY[:-1].encode()),
    "longer": bearer(KEY.encode() + b"x"),
    "NUL": bearer(KEY.encode() + b"\0"),
    "blank": bearer(b" " + KEY.encode()),
    "non-ASCII": bearer("schl\u00fcssel".encode()),
    "upper case": bearer(KEY.upper().encode()),
    "lower-case scheme": [(b"authorization", b"bearer " + KEY.encode())],
    "no scheme": [(b"authorization", KEY.encode())],
    "basic": [(b"authorization", b"Basic " + KEY.encode())],
    "twice": bearer(KEY.encode()) * 2,
    "wrong, then right": bearer(b"x") + bearer(KEY.encode()),
    "right, then wrong": bearer(KEY.encode()) + bearer(b"x"),
    "comma": bearer(KEY.encode() + b", " + KEY.encode()),
    "other header": [(b"x-api-key", KEY.encode()), (b"proxy-authorization", KEY.encode())],
    "cookie": [(b"cookie", b"key=" + KEY.encode())],
}
HOSTS = (b"a", b"a/?x", b"/health", b"", None, b"a/health?", b"[::1", b"\xff")
FORMS = (
    "{}", "/{}", "{}/", "{}/.", "/v1/..{}", "/health/..{}", "/health/..;{}", "{}/../health",
    "{}%2f", "/%2e%2e{}", "{}?x", "{};x", "{}\0", "http://a{}", "{}#/health", "/health?{}",
)  # fmt: skip
"""What a path may be made of, decoded as ``scope["path"]`` is; none but ``{}`` is a route."""


def table(front: Any) -> dict[str, str]:
    """Every path of the application and who may call it."""
    found = {}
    for module in load_protocols():
        for route in module.routes(front):
            assert found.setdefault(route.path, route.access) == route.access
    return found | {"/openapi.json": "user"}


def concrete(path: str) -> str:
    return path.replace("{name}", "system").replace("{model_id:path}", "some/model")


PATHS = sorted({concrete(path) for path in OPEN | CONTROL | USER})
CLOSED = [path for path in PATHS if path not in OPEN]


class Door:
    """The application behind a scripted engine; ``call`` gives the status and checks the body."""

    def __init__(self, **options: Any) -> None:
        self.front = make_front(**options)
        self.front.observation = Observation(ServerMetrics("model", ["/generate"]), RequestLog())
        self.app = build_app(self.front)

    async def call(
        self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], **scope: Any
    ) -> int:
        call = RawCall(self.app, path, method, headers=list(headers), **scope)
        call.push(b"{}")
        await call.task
        shown = call.body + repr(call.sent).encode()
        assert not any(key.encode() in shown for key in (KEY, ADMIN, WRONG))
        if call.status == 401:
            assert call.json()["error"]["code"] == "invalid_api_key"
        assert call.status is not None
        return call.status


def hosted(headers: Headers, host: bytes | None) -> Headers:
    return headers if host is None else [*headers, (b"host", host)]


def dressed_up(paths: Iterable[str]) -> Iterator[str]:
    for path, form in itertools.product(paths, FORMS):
        yield form.format(path)


async def refuses(
    door: Door,
    paths: Iterable[str],
    *,
    methods: Iterable[str] = ("GET",),
    hosts: Iterable[bytes | None] = (b"a",),
    keys: Iterable[str] = ("none",),
) -> int:
    """Assert a 401 for each combination; how many there were."""
    count = 0
    for method, path, host, name in itertools.product(methods, paths, hosts, keys):
        status = await door.call(method, path, hosted(BAD_KEYS[name], host))
        assert status == 401, (method, path, host, name, status)
        count += 1
    return count


def test_every_route_has_a_decision() -> None:
    async def decisions() -> dict[str, str]:
        return table(Door().front)

    found = asyncio.run(decisions())
    expected = dict.fromkeys(OPEN, "open") | dict.fromkeys(CONTROL, "control")
    assert found == expected | dict.fromkeys(USER, "user")


def test_without_a_key_every_method_of_every_path_is_a_401() -> None:
    async def main() -> None:
        door = Door(api_key=KEY)
        paths = [*CLOSED, *UNKNOWN]
        assert await refuses(door, paths, methods=METHODS) > 400
        assert await refuses(door, paths, methods=("GET", "POST"), keys=BAD_KEYS) > 1_500
        assert door.front.engine.requests == []
        assert door.front.engine.controlled == []

    asyncio.run(main())


def test_without_a_key_no_host_and_no_spelling_of_a_path_helps() -> None:
    async def main() -> None:
        door = Door(api_key=KEY, admin_api_key=ADMIN)
        spellings = [path for path in dressed_up(["/generate", "/health"]) if path not in OPEN]
        assert await refuses(door, spellings, hosts=HOSTS) > 200
        assert await refuses(door, spellings, keys=BAD_KEYS) > 500

    asyncio.run(main())


@pytest.mark.slow
def test_the_whole_matrix_without_a_key() -> None:
    async def main() -> int:
        door = Door(api_key=KEY, admin_api_key=ADMIN)
        spellings = [path for path in dressed_up([*PATHS, *UNKNOWN]) if path not in OPEN]
        return await refuses(door, spellings, methods=METHODS, hosts=HOSTS, keys=BAD_KEYS)

    assert asyncio.run(main()) > 900_000


def test_open_paths_are_open_to_all_and_to_get_alone() -> None:
    async def main() -> None:
        door = Door(api_key=KEY)
        for path, host, headers in itertools.product(OPEN, HOSTS, BAD_KEYS.values()):
            assert await door.call("GET", path, hosted(headers, host)) == 200
            assert await door.call("POST", path, hosted(headers, host)) == 405

    asyncio.run(main())


def test_a_key_opens_what_it_is_for_and_nothing_else() -> None:
    async def main() -> None:
        door = Door(api_key=KEY, admin_api_key=ADMIN)
        routes = table(door.front)
        for template, method in itertools.product(routes, METHODS):
            path, access = concrete(template), routes[template]
            user = await door.call(method, path, bearer(KEY.encode()))
            admin = await door.call(method, path, bearer(ADMIN.encode()))
            assert admin not in (401, 403), (method, path)
            if access == "control" and admin != 405:
                assert user == 403, (method, path)
            else:
                assert user == admin, (method, path)
        for path in UNKNOWN:
            assert await door.call("GET", path, bearer(KEY.encode())) == 404

    asyncio.run(main())


def test_an_admin_key_alone_closes_the_control_routes_alone() -> None:
    async def main() -> None:
        door = Door(admin_api_key=ADMIN)
        routes = table(door.front)
        for (template, access), method in itertools.product(routes.items(), ("GET", "POST")):
            found = {
                await door.call(method, concrete(template), headers)
                for headers in ([], bearer(KEY.encode()), bearer(ADMIN.encode() + b"\0"))
            }
            opened = await door.call(method, concrete(template), bearer(ADMIN.encode()))
            closed = access == "control" and opened != 405
            assert found == ({401} if closed else {opened}), (method, template)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ([], "192.0.2.7"),
        ([], ""),
        ([(b"x-forwarded-for", b"127.0.0.1")], "127.0.0.1"),
        ([(b"forwarded", b"for=127.0.0.1")], "127.0.0.1"),
        ([(b"x-real-ip", b"127.0.0.1")], "127.0.0.1"),
        ([(b"origin", b"http://localhost")], "127.0.0.1"),
        ([(b"origin", b"null")], "::1"),
    ],
)
def test_without_an_admin_key_control_is_for_programs_here_alone(
    headers: Headers, peer: str
) -> None:
    async def main() -> None:
        door = Door(api_key=KEY)
        for path in sorted(CONTROL):
            method = "DELETE" if "{" in path else "POST"
            here = await door.call(method, concrete(path), bearer(KEY.encode()))
            assert here not in (401, 403, 405)
            there = [*bearer(KEY.encode()), *headers]
            status = await door.call(method, concrete(path), there, client=(peer, 1))
            assert status == 403, path

    asyncio.run(main())


def test_no_key_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        door = Door(api_key=KEY, admin_api_key=ADMIN)
        for headers in (*BAD_KEYS.values(), bearer(KEY.encode()), bearer(ADMIN.encode())):
            for path in (*PATHS, "/nope"):
                query = b"key=" + KEY.encode()
                await door.call("POST", path, headers, query_string=query)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(main())
    logged = caplog.text + "".join(repr(vars(record)) for record in caplog.records)
    assert len(caplog.records) > 500
    assert not any(key in logged for key in (KEY, ADMIN, WRONG, KEY[:-1]))


# -- over sockets: where the parser of HTTP has a say ----------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    directory = tmp_path_factory.mktemp("server")
    for name, key in (("keys", KEY), ("admins", ADMIN)):
        (directory / name).write_text(key + "\n")
    options = (
        f"--api-key-file={directory / 'keys'}",
        f"--admin-api-key-file={directory / 'admins'}",
        "--log-requests",
        "--log-level=debug",
    )
    with live_server(*options, directory=directory) as running:
        yield running


def send(server: LiveServer, data: bytes) -> Answer:
    port = int(server.url.rpartition(":")[2])
    name = repr(data[:100])
    return exchange(port, Call(name=name, path="", data=data, method="GET", may_close=True))


TARGETS = (
    b"/v1/models", b"//v1/models", b"/v1/../health", b"/v1/%2e%2e/health", b"/%2e%2e/health",
    b"/health/..;/v1/models", b"/health/%2e%2e/v1/models", b"/health/", b"/health%3Fx",
    b"/health%00", b"/health%23", b"/health;x", b"/\\health", b"http://a/v1/models",
    b"http://a/health/../v1/models", b"http://health/v1/models", b"//health/v1/models",
    b"http://a@health/v1/models?/health", b"http:///health/v1/models", b"*", b"a:1", b"health",
)  # fmt: skip
REFUSED = (400, 401)
"""What is no HTTP is refused before there is a path to look at."""


@pytest.mark.parametrize("target", TARGETS)
def test_no_target_leads_past_the_key(server: LiveServer, target: bytes) -> None:
    dresses = [hosted([], host) for host in HOSTS]
    dresses += [hosted(headers, b"a") for headers in BAD_KEYS.values()]
    for method, headers in itertools.product((b"GET", b"POST"), dresses):
        lines = [method + b" " + target + b" HTTP/1.1", b"Connection: close"]
        lines += [name + b": " + value for name, value in headers]
        answer = send(server, b"\r\n".join(lines) + b"\r\n\r\n")
        assert answer.status in REFUSED, (method, headers, answer)


def framed(*lines: bytes) -> bytes:
    return b"\r\n".join([b"GET /v1/models HTTP/1.1", b"Host: a", *lines, b"Connection: close"]) + (
        b"\r\n\r\n"
    )


AUTHORIZATION = b"Authorization: Bearer " + KEY.encode()
SMUGGLED = (
    framed(b"Authorization : Bearer " + KEY.encode()),
    framed(b"Authorization: Bearer", b" " + KEY.encode()),
    framed(b"Authorization: Bearer\t" + KEY.encode()),
    framed(b"Upgrade: websocket", b"Sec-WebSocket-Key: " + KEY.encode()),
    b"GET /v1/models?key=" + KEY.encode() + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /v1/models HTTP/1.0\r\n\r\n",
    b"GET /health/../v1/models HTTP/1.0\r\n\r\n",
    framed(b"Transfer-Encoding: chunked") + b"0\r\nX: a\r\n\r\n",
)


@pytest.mark.parametrize("data", SMUGGLED)
def test_no_framing_leads_past_the_key(server: LiveServer, data: bytes) -> None:
    assert send(server, data).status in REFUSED


def test_a_call_after_an_open_one_on_the_same_connection_needs_its_own_key(
    server: LiveServer,
) -> None:
    port = int(server.url.rpartition(":")[2])
    first = b"GET /health HTTP/1.1\r\nHost: a\r\n" + AUTHORIZATION + b"\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(first + framed())
        answers = b"".join(iter(lambda: sock.recv(65_536), b""))
    assert answers.count(b"HTTP/1.1 200") == 1
    assert answers.count(b"HTTP/1.1 401") == 1


def test_the_keys_open_and_stand_in_no_log(server: LiveServer) -> None:
    assert send(server, framed(AUTHORIZATION)).status == 200
    flush = framed(b"Authorization: Bearer " + ADMIN.encode()).replace(
        b"/v1/models", b"/flush_cache"
    )
    assert send(server, flush).status == 200
    assert send(server, flush.replace(ADMIN.encode(), KEY.encode())).status == 403
    logged = server.errors
    assert "/flush_cache" in logged
    assert not any(key in logged for key in (KEY, ADMIN, WRONG, KEY[:-1]))


def test_the_keys_stand_in_no_command_line(server: LiveServer) -> None:
    for pid in (server.process.pid, *server.children()):
        shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert KEY.encode() not in shown and ADMIN.encode() not in shown
