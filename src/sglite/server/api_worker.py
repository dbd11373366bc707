"""A further HTTP process: ``python -m sglite.server.api_worker``, started by ``api_workers``.

It serves as the first one does, and ends when that says so or is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

import msgspec
import uvloop

from sglite.config import ServerConfig
from sglite.errors import EngineDeadError
from sglite.ipc.fleet_follower import FleetFollower
from sglite.ipc.frames import HEADER_BYTES, encode
from sglite.ipc.process_client import ProcessClient
from sglite.ipc.spawning import parents_socket, read_frames
from sglite.observability.logging import configure_logging
from sglite.server.app import build_app
from sglite.server.engines import is_fleet, make_fleet_client
from sglite.server.front import Front
from sglite.server.front_factory import make_front
from sglite.server.launch import settle_memory
from sglite.server.lifecycle import EXIT_FAILED, Lifecycle, SwitchedApp, make_server
from sglite.server.worker_messages import Drain, EnginesAt, Serving, ToWorker, WorkerSettings

logger = logging.getLogger(__name__)

_decoder = msgspec.msgpack.Decoder(ToWorker)


def main() -> NoReturn:
    """Serve until told to end."""
    parent = parents_socket()
    with parent.makefile("rb", buffering=0) as stream:
        frame = next(read_frames(stream), None)
    if frame is None:  # the first process has gone already
        os._exit(EXIT_FAILED)
    settings = _decoder.decode(frame)
    code = uvloop.run(_serve(settings, parent))
    logging.shutdown()
    os._exit(code)


async def _serve(settings: WorkerSettings, parent: socket.socket) -> int:
    config = ServerConfig(**settings.config)
    configure_logging(config.log_level, stream=sys.stderr, style=config.log_format)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    reader, writer = await asyncio.open_connection(sock=parent)
    switch = SwitchedApp()
    server = make_server(config, switch, num_processes=config.api_workers)
    lifecycle = Lifecycle(server, config)
    follower = None
    if is_fleet(config):
        follower = FleetFollower(make_fleet_client(config, number=settings.number))
    obey = asyncio.ensure_future(_obey(reader, lifecycle, follower))
    try:
        front = await lifecycle.start(_start(config, settings, follower))
    except EngineDeadError:
        return EXIT_FAILED  # the first process says why
    if front is None:
        return lifecycle.exit_code
    switch.app = build_app(front)
    http = asyncio.ensure_future(server.serve(sockets=[socket.socket(fileno=settings.listen_fd)]))
    http.add_done_callback(lifecycle.on_http_end)
    settle_memory()
    writer.write(encode(Serving()))
    code = await lifecycle.serve(front)
    await asyncio.gather(http, return_exceptions=True)
    obey.cancel()
    if front.renderer is not None:
        await front.renderer.stop()
    return code


async def _start(
    config: ServerConfig, settings: WorkerSettings, follower: FleetFollower | None
) -> Front:
    directory, number = Path(settings.directory), settings.number
    if follower is not None:
        wait_ready = partial(follower.wait_ready, settings.engine_paths)
        return await make_front(config, directory, follower.client, wait_ready, number=number)
    client = await ProcessClient.connect(settings.engine_paths[0])
    return await make_front(config, directory, client, client.wait_ready, number=number)


async def _obey(
    reader: asyncio.StreamReader, lifecycle: Lifecycle, follower: FleetFollower | None
) -> None:
    """Do as the first process says; without it, end."""
    try:
        while True:
            header = await reader.readexactly(HEADER_BYTES)
            message = _decoder.decode(await reader.readexactly(int.from_bytes(header, "big")))
            if isinstance(message, Drain):
                lifecycle.drain()
            elif not isinstance(message, EnginesAt):
                lifecycle.stop()
            elif follower is not None:
                follower.follow(message.paths)
    except (asyncio.IncompleteReadError, OSError):
        os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
