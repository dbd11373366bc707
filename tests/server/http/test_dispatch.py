import asyncio
import logging

import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse

from sglite.errors import CapacityError, RequestError
from sglite.server.app import wrap
from sglite.server.http.auth import Keys
from sglite.server.http.dispatch import Dispatcher
from sglite.server.http.routes import ApiRoute
from tests.server.asgi import RawCall, client
from tests.server.fake_engine import make_front


def route(path, handler, *, methods=("GET",), access="user"):
    return ApiRoute(path=path, methods=methods, handler=handler, access=access, summary="")


async def hello(request):
    return PlainTextResponse(f"hello {request.path_params.get('name', '')}")


def raising(error):
    async def handler(request):
        raise error

    return handler


def call(routes, method, path, *, front=None):
    async def main():
        app = wrap(front or make_front(), routes, Keys())
        async with client(app) as http:
            return await http.request(method, path)

    return asyncio.run(main())


ROUTES = [
    route("/a", hello, methods=("GET", "POST")),
    route("/b", hello, methods=("POST",)),
    route("/models/{name:path}", hello),
    route("/items/{name}", hello),
]


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/a", 200, "hello "),
        ("POST", "/a", 200, "hello "),
        ("GET", "/models/org/name", 200, "hello org/name"),
        ("GET", "/items/x", 200, "hello x"),
        ("GET", "/items/x/y", 404, None),
        ("GET", "/a/", 404, None),
        ("GET", "//a", 404, None),
        ("GET", "/models/{name:path}", 200, "hello {name:path}"),
        ("GET", "/nope", 404, None),
        ("BREW", "/nope", 404, None),
    ],
)
def test_path_and_method_find_their_handler(method, path, status, text):
    answer = call(ROUTES, method, path)
    assert answer.status_code == status
    assert text is None or answer.text == text


def test_head_is_served_where_get_is():
    answer = call(ROUTES, "HEAD", "/a")
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW", "get"])
def test_other_methods_are_a_405_that_names_the_allowed_ones(method):
    answer = call(ROUTES, method, "/b")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":
        assert answer.json()["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("error", "status"),
    [(RequestError("bad", param="n"), 400), (CapacityError("full"), 429), (KeyError("x"), 500)],
)
def test_exceptions_become_answers(error, status, caplog):
    logging.getLogger("sglite").propagate = True
    answer = call([route("/a", raising(error))], "GET", "/a")
    assert answer.status_code == status
    assert answer.json()["object"] == "error"
    logged = [record.message for record in caplog.records]
    assert logged == (["call_failed"] if status == 500 else [])
    if status == 500:
        assert answer.headers["x-request-id"] in answer.json()["message"]


def test_draining_refuses_new_work_and_says_goodbye():
    front = make_front()
    front.is_draining = True
    routes = [*ROUTES, route("/flush", hello, methods=("POST",), access="control")]
    answer = call(routes, "POST", "/b", front=front)
    assert answer.status_code == 503
    assert answer.headers["connection"] == "close"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "shutting_down"
    assert call(routes, "GET", "/a", front=front).status_code == 200
    assert call(routes, "POST", "/flush", front=front).status_code == 200


def test_fault_after_the_first_byte_cannot_become_another_answer():
    class Broken(PlainTextResponse):
        async def __call__(self, scope, receive, send):
            await super().__call__(scope, receive, send)
            raise KeyError("late")

    async def handler(request):
        return Broken("once")

    async def main():
        seen = RawCall(wrap(make_front(), [route("/a", handler)], Keys()), "/a", "GET")
        await seen.task
        return seen

    seen = asyncio.run(main())
    assert seen.body == b"once"


def test_caller_who_left_is_no_error(caplog):
    logging.getLogger("sglite").propagate = True

    async def main():
        app = wrap(make_front(), [route("/a", raising(ClientDisconnect()))], Keys())
        seen = RawCall(app, "/a", "GET")
        await seen.task
        return seen.sent

    assert asyncio.run(main()) == []
    assert caplog.records == []


def test_two_routes_for_one_path_and_method_are_our_mistake():
    with pytest.raises(ValueError, match="GET /a is routed twice"):
        Dispatcher([route("/a", hello), route("/a", hello)], lambda: False)
    Dispatcher([route("/a", hello), route("/a", hello, methods=("POST",))], lambda: False)
