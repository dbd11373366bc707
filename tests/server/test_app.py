import asyncio
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

import sglite.server
from sglite.server.app import PROTOCOLS, build_app, load_protocols, wrap
from sglite.server.http.auth import Keys
from sglite.server.http.routes import ApiRoute
from sglite.server.telemetry.metrics import ServerMetrics
from sglite.server.telemetry.observation import Observation
from tests.server.asgi import RawCall, client
from tests.server.fake_engine import make_front

ACCESS = {
    "open": {"/health", "/health/live", "/health/ready", "/ready", "/ping"},
    "control": {
        "/flush_cache", "/pause_generation", "/continue_generation", "/start_profile",
        "/stop_profile", "/prefix", "/prefix/{name}",
    },
}  # fmt: skip
"""A route is for whoever has a key, unless it is decided here that it is not."""


def all_routes(front):
    return [route for module in load_protocols() for route in module.routes(front)]


def test_access_of_every_route_is_decided_here_too():
    for route in all_routes(make_front()):
        decided = next((access for access, paths in ACCESS.items() if route.path in paths), "user")
        assert route.access == decided, route.path


def test_every_module_with_routes_is_a_protocol_of_the_app():
    for package in ("native", "openai"):
        directory = Path(sglite.server.__file__).parent / package
        for found in pkgutil.iter_modules([str(directory)]):
            module = importlib.import_module(f"sglite.server.{package}.{found.name}")
            if hasattr(module, "routes"):
                assert f"{package}.{found.name}" in PROTOCOLS


def test_no_route_of_the_whole_app_passes_without_a_key_but_the_open_ones():
    async def main():
        front = make_front(api_key="k")
        front.observation = Observation(metrics=ServerMetrics("m", ()))
        async with client(build_app(front)) as http:
            paths = {
                (route.path, method) for route in all_routes(front) for method in route.methods
            }
            for path, method in sorted(paths):
                answer = await http.request(method, path)
                expected = 200 if path in ACCESS["open"] else 401
                assert answer.status_code == expected, (method, path)

    asyncio.run(main())


@pytest.mark.parametrize(("given", "is_echoed"), [("mine-1", True), ("x" * 200, False)])
def test_every_answer_has_a_request_id(given, is_echoed):
    async def main():
        async with client(build_app(make_front(), [])) as http:
            answer = await http.get("/nope", headers={"X-Request-Id": given})
            assert answer.status_code == 404
            assert (answer.headers["x-request-id"] == given) is is_echoed
            plain = await http.get("/openapi.json")
            assert len(plain.headers["x-request-id"]) == 32

    asyncio.run(main())


class Log:
    def __init__(self):
        self.calls = []

    def http_finished(self, method, endpoint, status, seconds):
        self.calls.append((method, endpoint, status))


def test_every_call_is_counted_and_logged_by_its_template():
    async def hello(request):
        return PlainTextResponse("hello")

    async def main():
        front, log = make_front(), Log()
        metrics = ServerMetrics("m", {"/a/{name}"})
        front.observation = Observation(metrics=metrics, log=log)
        route = ApiRoute(
            path="/a/{name}", methods=("GET",), handler=hello, access="user", summary=""
        )
        app = wrap(front, [route], Keys())
        async with client(app) as http:
            await http.get("/a/secret")
            await http.get("/nope")
        left = RawCall(app, "/a/x", "GET", headers=[])
        await left.task
        return log.calls, metrics.to_prometheus().decode()

    calls, text = asyncio.run(main())
    assert calls[:2] == [("GET", "/a/{name}", 200), ("GET", None, 404)]
    assert "secret" not in text and "nope" not in text


def test_settings_of_a_call_come_from_the_options():
    async def show(request):
        state = request.scope["state"]
        return PlainTextResponse(f"{state['read_timeout_s']} {state['stall_timeout_s']}")

    async def main():
        front = make_front(read_timeout_s=3.0, stall_timeout_s=4.0)
        route = ApiRoute(path="/a", methods=("GET",), handler=show, access="user", summary="")
        async with client(wrap(front, [route], Keys())) as http:
            return (await http.get("/a")).text

    assert asyncio.run(main()) == "3.0 4.0"


def test_the_http_process_never_loads_a_library_that_computes():
    code = (
        "import sys, sglite.cli.serve, sglite.server.launch, sglite.server.app as app\n"
        "app.load_protocols()\n"
        "print([name for name in ('torch', 'numpy', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
