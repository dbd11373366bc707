"""``sglite router``, from options to exit code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

import uvloop
from starlette.types import ASGIApp

from sglite.config import RouterConfig
from sglite.errors import ConfigError
from sglite.router_server.front import RouterFront, worker_urls
from sglite.router_server.keys import WorkerKeys
from sglite.router_server.routes import routes
from sglite.server.app import wrap
from sglite.server.http.auth import Keys
from sglite.server.http.openapi import openapi_route
from sglite.server.lifecycle import Lifecycle, SwitchedApp, make_server
from sglite.server.listen import allow_open_files, bind, check_exposure, check_tls, url_of

Say = Callable[[str], None]


def serve(config: RouterConfig, say: Say) -> int:
    """Route until stopped; the exit code of the process. ``say`` takes lines for people.

    Raises ConfigError before anything is served.
    """
    keys = Keys.from_options(config)
    WorkerKeys.from_options(config, has_own_keys=bool(keys))
    check_exposure(config, keys)
    check_tls(config)
    if not worker_urls(config):
        raise ConfigError("workers: there are none; give --workers URL [URL ...]")
    allow_open_files(2 * config.max_connections)  # each may have one more, to a worker
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # faults of calls are logged by us
    with contextlib.closing(bind(config.host, config.port)) as sock:
        return uvloop.run(_run(config, sock, say))


def build_app(front: RouterFront) -> ASGIApp:
    """The application that serves ``front``."""
    table = routes(front)
    table.append(openapi_route(table))
    return wrap(front, table, front.keys)


async def _run(config: RouterConfig, sock: socket.socket, say: Say) -> int:
    front = RouterFront(config)
    switch = SwitchedApp()
    server = make_server(config, switch)
    lifecycle = Lifecycle(server, config)
    async with lifecycle.signals():
        http = asyncio.ensure_future(server.serve(sockets=[sock]))
        http.add_done_callback(lifecycle.on_http_end)
        try:
            if await lifecycle.start(_first_look(front)) is None:
                return lifecycle.exit_code
            switch.app = build_app(front)
            say(ready_line(front, url_of(sock, is_tls=config.ssl_certfile is not None)))
            return await lifecycle.serve(front)
        finally:
            server.should_exit = True
            await asyncio.gather(http, return_exceptions=True)
            await front.close()


async def _first_look(front: RouterFront) -> bool:
    """Know who is up before the first call comes, then keep watching."""
    workers = front.workers.all
    await asyncio.gather(*(front.health.look(worker) for worker in workers))
    for worker in workers:
        front.health.watch(worker)
    return True


def ready_line(front: RouterFront, url: str) -> str:
    """What a person wants to know once it runs."""
    num_all, num_up = len(front.workers.all), len(front.workers.up)
    noun = "worker" if num_all == 1 else "workers"
    return f"{url} serves {num_all} {noun}, {num_up} up, by {front.config.routing_policy}"
