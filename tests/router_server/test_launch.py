"""``sglite router`` as it starts and ends, in this process."""

import asyncio
import os
import signal

import httpx
import pytest

from sglite.config import RouterConfig
from sglite.errors import ConfigError
from sglite.router_server import launch
from tests.router_server.fake_workers import FakeWorker


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "workers: there are none"),
        ({"workers": "ftp://a"}, "not the URL of a server"),
        ({"workers": "http://a", "host": "0.0.0.0"}, "there is no key"),
        ({"workers": "http://a", "worker_api_key": "a b"}, "printable ASCII"),
        ({"workers": "http://a", "ssl_keyfile": "k"}, "belong together"),
    ],
)
def test_bad_options_end_it_before_it_listens(options, problem):
    with pytest.raises(ConfigError, match=problem):
        launch.serve(RouterConfig(**options), print)


def test_it_serves_until_a_signal_and_hangs_up():
    async def main():
        lines = []
        async with FakeWorker("w0") as worker:
            config = RouterConfig(port=0, workers=f"{worker.url} http://127.0.0.1:9")
            with launch.bind(config.host, 0) as sock:
                running = asyncio.ensure_future(launch._run(config, sock, lines.append))
                while not lines:
                    await asyncio.sleep(0.01)
                url, _, rest = lines[0].partition(" ")
                assert rest == "serves 2 workers, 1 up, by cache_aware"
                async with httpx.AsyncClient(base_url=url) as client:
                    answer = await client.post("/generate", json={"text": "Hi"})
                    assert answer.json() == {"text": "w0"}
                    assert "/generate" in (await client.get("/openapi.json")).json()["paths"]
                os.kill(os.getpid(), signal.SIGTERM)
                assert await asyncio.wait_for(running, 10) == 0

    asyncio.run(main())
