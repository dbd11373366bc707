"""What the routes of the router share, and what a lifecycle watches over."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sglite.client.http import parse_url
from sglite.config import RouterConfig
from sglite.errors import ConfigError
from sglite.router_server.health import HealthWatch
from sglite.router_server.keys import WorkerKeys
from sglite.router_server.proxy import Proxy
from sglite.router_server.router_metrics import Gauges, RouterMetrics
from sglite.router_server.worker_client import WorkerClient
from sglite.router_server.workers import Worker, Workers
from sglite.server.http.auth import Keys
from sglite.server.telemetry.request_log import RequestLog


@dataclass(frozen=True, slots=True)
class RouterObservation:
    """What watches all calls; either may be off (None)."""

    metrics: RouterMetrics | None
    log: RequestLog | None


@dataclass(frozen=True, slots=True)
class AlwaysAlive:
    """A router has nothing whose end would end it: workers come and go."""

    is_alive: bool = True
    heals: bool = True


class RouterFront:
    """The router with all its parts. Make it inside the event loop, and close it there.

    Raises ConfigError for a bad key or URL.
    """

    def __init__(self, config: RouterConfig) -> None:
        self.config = config
        self.is_draining = False
        self.engine = AlwaysAlive()
        self.keys = Keys.from_options(config)
        self.worker_keys = WorkerKeys.from_options(config, has_own_keys=bool(self.keys))
        self.metrics = RouterMetrics(self._gauges)
        self.workers = Workers(
            config,
            max_waiting=config.max_waiting_requests,
            clock=time.monotonic,
            on_decision=self.metrics.decided,
        )
        for url in worker_urls(config):
            self.workers.add(url)
        self.client = WorkerClient(connect_timeout_s=config.health_timeout_s)
        self.health = HealthWatch(self.workers, self.client, config)
        self.proxy = Proxy(config, self.workers, self.client, self.worker_keys, self.metrics)
        self.observation = RouterObservation(
            self.metrics if config.enable_metrics else None,
            RequestLog() if config.log_requests else None,
        )

    def add_worker(self, url: str) -> Worker:
        """Take a server in. Raises ConfigError for a bad URL, RequestError where there are many."""
        worker = self.workers.add(worker_url(url))
        self.health.watch(worker)
        return worker

    def fail_open_calls(self, error: Exception) -> None:
        """End every open call with this error, and those that wait: their time is up."""
        self.workers.fail_waiting(error)
        for worker in self.workers.all:
            for call in list(worker.open_calls):
                call.cut(error)

    async def close(self) -> None:
        """Stop looking at workers, and hang up."""
        await self.health.stop()
        await self.client.close()

    def _gauges(self) -> Gauges:
        loads = self.workers.loads()
        workers = self.workers.all
        return {
            "worker_up": {(each.url,): float(each.state == "up") for each in workers},
            "worker_open_calls": {
                (each.url,): float(loads[each.number].num_requests) for each in workers
            },
            "waiting_calls": {(): float(self.workers.num_waiting)},
        }


def worker_urls(config: RouterConfig) -> list[str]:
    """The URLs that the options give, each once. Raises ConfigError for a bad one."""
    given = (config.workers or "").replace(",", " ").split()
    return list(dict.fromkeys(worker_url(url) for url in given))


def worker_url(url: str) -> str:
    """A URL in its one spelling, without a slash at its end. Raises ConfigError."""
    is_tls, host, port, prefix = parse_url(url)
    if not host.isascii():
        raise ConfigError(f"{url!r:.100} is not the URL of a server; write its host in ASCII")
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_tls else 'http'}://{shown}:{port}{prefix}"
