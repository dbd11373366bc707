import asyncio
import itertools

import pytest
from starlette.responses import PlainTextResponse

from sglite.config import ServerOptions
from sglite.errors import ConfigError
from sglite.server.app import wrap
from sglite.server.http.auth import AuthMiddleware, Keys, is_among, is_loopback
from sglite.server.http.routes import ApiRoute
from tests.server.asgi import RawCall, client
from tests.server.fake_engine import make_front

KEY = "sk-correct-horse"
ADMIN = "sk-admin-horse"


async def handler(request):
    return PlainTextResponse("ok")


def app(*, options=None, peer=None):
    routes = [
        ApiRoute(path=path, methods=("GET",), handler=handler, access=access, summary="")
        for path, access in [
            ("/health", "open"),
            ("/v1/models", "user"),
            ("/v1/models/{model:path}", "user"),
            ("/flush_cache", "control"),
        ]
    ]
    front = make_front(**(options or {}))
    return wrap(front, routes, Keys.from_options(front.config))


async def get(application, path, headers=(), *, peer=("127.0.0.1", 1)):
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    call = RawCall(application, path, "GET", headers=raw, client=peer)
    call.push()
    await call.task
    return call


def status(path, headers=(), *, options=None, peer=("127.0.0.1", 1)):
    async def main():
        return (await get(app(options=options), path, headers, peer=peer)).status

    return asyncio.run(main())


def bearer(key):
    return [("authorization", f"Bearer {key}")]


BAD_HEADERS = {
    "no key": [],
    "wrong": bearer("sk-wrong"),
    "empty": bearer(""),
    "prefix": bearer(KEY[:-1]),
    "longer": bearer(KEY + "x"),
    "NUL": bearer(KEY + "\0"),
    "non-ASCII": bearer("é"),
    "lower-case scheme": [("authorization", f"bearer {KEY}")],
    "basic": [("authorization", f"Basic {KEY}")],
    "two headers": bearer(KEY) * 2,
    "two headers, one wrong": [*bearer("x"), *bearer(KEY)],
    "other header": [("x-api-key", KEY)],
}
PATHS = (
    "/v1/models", "/v1/models/a", "/flush_cache", "/nope", "//v1/models", "/v1/../health",
    "/health/..;/v1/models", "/health/", "/HEALTH", "/health?x", "/", "", "*", "http://a/health",
)  # fmt: skip
HOSTS = ("a/?x", "/health", "", None)


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_without_a_valid_key_every_path_but_the_open_ones_is_a_401(name):
    async def main():
        application = app(options={"api_key": KEY})
        for path, host in itertools.product(PATHS, HOSTS):
            headers = BAD_HEADERS[name] + ([] if host is None else [("host", host)])
            call = await get(application, path, headers)
            assert call.status == 401, (path, host)
            assert call.json()["error"]["code"] == "invalid_api_key"
        assert (await get(application, "/health", BAD_HEADERS[name])).status == 200

    asyncio.run(main())


def test_key_in_the_query_is_none():
    async def main():
        call = RawCall(
            app(options={"api_key": KEY}), "/v1/models", "GET", query_string=f"key={KEY}".encode()
        )
        call.push()
        await call.task
        return call.status

    assert asyncio.run(main()) == 401


def test_the_right_key_passes_and_any_of_several_does(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text(f"first\n\n{KEY}\n")
    assert status("/v1/models", bearer(KEY), options={"api_key": KEY}) == 200
    for key in ("first", KEY):
        assert status("/v1/models", bearer(key), options={"api_key_file": str(keys)}) == 200


def test_without_keys_everything_works_on_this_machine():
    assert status("/v1/models") == 200
    assert status("/flush_cache") == 200


def test_control_without_admin_key_is_for_this_machine_alone():
    there = ("192.0.2.7", 1)
    assert status("/flush_cache", peer=there) == 403
    assert status("/v1/models", peer=there) == 200
    assert status("/flush_cache", bearer(KEY), options={"api_key": KEY}, peer=there) == 403
    assert status("/flush_cache", bearer(KEY), options={"api_key": KEY}) == 200
    assert status("/flush_cache", [("x-forwarded-for", "192.0.2.7")]) == 403
    assert status("/flush_cache", [("origin", "https://evil.example")]) == 403
    allowed = {"cors_origins": "https://our.example"}
    assert status("/flush_cache", [("origin", "https://our.example")], options=allowed) == 200


def test_control_with_an_admin_key_needs_that_one_from_anywhere():
    both = {"api_key": KEY, "admin_api_key": ADMIN}
    assert status("/flush_cache", bearer(ADMIN), options=both, peer=("192.0.2.7", 1)) == 200
    assert status("/flush_cache", bearer(KEY), options=both) == 403
    assert status("/flush_cache", options=both) == 401
    assert status("/v1/models", bearer(ADMIN), options=both) == 200


def test_an_admin_key_alone_leaves_the_rest_open():
    alone = {"admin_api_key": ADMIN}
    assert status("/v1/models", options=alone) == 200
    assert status("/nope", options=alone) == 404
    assert status("/flush_cache", options=alone) == 401
    assert status("/flush_cache", bearer(ADMIN), options=alone) == 200


def test_websockets_are_refused():
    sent = []

    async def main():
        async def send(message):
            sent.append(message)

        await app()({"type": "websocket", "path": "/health", "headers": []}, None, send)

    asyncio.run(main())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_cors_is_off_unless_asked_for():
    async def main():
        origin = {"Origin": "https://our.example", "Access-Control-Request-Method": "POST"}
        async with client(app(options={"api_key": KEY})) as closed:
            assert (await closed.options("/v1/models", headers=origin)).status_code == 401
        async with client(app(options={"api_key": KEY, "cors_origins": "*"})) as opened:
            answer = await opened.options("/v1/models", headers=origin)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "*"
            refused = await opened.get("/v1/models", headers=origin)
            assert refused.status_code == 401
            assert refused.headers["access-control-allow-origin"] == "*"

    asyncio.run(main())


@pytest.mark.parametrize("key", ["", "a b", "é", "a\n"])
def test_bad_keys_are_refused_without_showing_them(key):
    with pytest.raises(ConfigError) as caught:
        Keys.from_options(ServerOptions(api_key=key))
    assert not key or repr(key) not in str(caught.value)


def test_key_file_that_is_missing_or_empty_is_refused(tmp_path):
    empty = tmp_path / "keys"
    empty.write_text("\n")
    for path in (tmp_path / "none", empty):
        with pytest.raises(ConfigError, match="api_key_file"):
            Keys.from_options(ServerOptions(api_key_file=str(path)))


def test_neither_options_nor_keys_show_what_is_secret():
    options = ServerOptions(api_key=KEY, admin_api_key=ADMIN)
    shown = repr(options) + repr(Keys.from_options(options)) + str(options.to_public_dict())
    assert KEY not in shown and ADMIN not in shown


def test_comparison_looks_at_every_key():
    keys = Keys.from_options(ServerOptions(api_key=KEY))
    assert is_among(KEY.encode(), keys.user)
    assert not is_among(b"", keys.user)
    assert not is_among(KEY.encode(), frozenset())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False),
        ("example.com", False), ("", False), ("::ffff:192.0.2.1", False),
    ],
)  # fmt: skip
def test_what_is_this_machine(host, expected):
    assert is_loopback(host) is expected


def test_layer_without_keys_asks_for_none():
    async def main():
        seen = []

        async def inner(scope, receive, send):
            seen.append(scope["path"])

        layer = AuthMiddleware(inner, keys=Keys(), open_paths=())
        await layer({"type": "http", "path": "/x", "headers": [], "state": {}}, None, None)
        return seen

    assert asyncio.run(main()) == ["/x"]
