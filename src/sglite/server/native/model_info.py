"""What is served, how it is set up and how busy it is, in SGLang's words."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

import sglite
from sglite.config_fields import option_fields
from sglite.errors import EngineDeadError, NotReadyError
from sglite.ipc.fleet_control import answers_of
from sglite.server.http.routes import ApiRoute, Handler, json_response
from sglite.server.native.health import check_live

if TYPE_CHECKING:
    from sglite.ipc.engine_link import EngineLink
    from sglite.server.front import Front

ENGINE_TIMEOUT_S = 1.0
MIN_RATE_WINDOW_S = 0.5


def routes(front: Front) -> list[ApiRoute]:
    """``/model_info``, ``/server_info``, ``/v1/loads`` and their older names."""
    api = InfoApi(front)
    table: list[tuple[tuple[str, ...], Handler, str]] = [
        (("/model_info", "/get_model_info"), api.model_info, "The model and its tokenizer"),
        (("/server_info", "/get_server_info"), api.server_info, "Every option, and the state"),
        (("/v1/loads",), api.loads, "How busy each engine is"),
        (("/get_load",), api.get_load, "The same, in SGLang's older words"),
    ]
    return [
        ApiRoute(path=path, methods=("GET",), handler=handler, access="user", summary=summary)
        for paths, handler, summary in table
        for path in paths
    ]


class InfoApi:
    """The handlers."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._model_type = _model_type(front.model_directory)
        self._rates: dict[int, TokenRate] = {}

    async def model_info(self, request: Request) -> Response:
        """``/model_info``."""
        front, config = self._front, self._front.config
        return json_response(
            {
                **self._names(),
                "is_generation": True,
                "preferred_sampling_params": None,
                "weight_version": "default",
                "load_format": config.load_format,
                **self._parsers(),
                "disaggregation_mode": "null",
                "has_image_understanding": False,
                "has_audio_understanding": False,
                "model_type": self._model_type,
                "architectures": front.architectures,
            }
        )

    async def server_info(self, request: Request) -> Response:
        """``/server_info``: secrets are left out; the state is null where the engine is silent."""
        front = self._front
        limits, ready = front.limits, front.engine.ready
        options = shown_options(front)
        return json_response(
            {
                **options,
                **self._names(),
                **self._parsers(),
                "status": "ready" if ready is not None and front.engine.is_alive else "starting",
                "max_total_num_tokens": limits.pool_tokens,
                "max_req_input_len": limits.max_tokens - 1,
                "startup_time": None if ready is None else ready.startup_s,
                "internal_states": await self._internal_states(),
                "version": sglite.__version__,
                "frontend": "python",
                "launch_command": None,
                "kv_events": None,
            }
        )

    async def loads(self, request: Request) -> Response:
        """``/v1/loads``: an entry per engine. Raises NotReadyError, EngineDeadError."""
        loads = await self._loads()
        entries = [self._load_entry(number, load) for number, load in loads.items()]
        head = {"timestamp": time.time(), "version": sglite.__version__}
        return json_response({**head, "dp_rank_count": len(entries), "loads": entries})

    async def get_load(self, request: Request) -> Response:
        """``/get_load``: a list with an entry per engine. Raises NotReadyError, EngineDeadError."""
        entries = []
        for number, load in (await self._loads()).items():
            num_waiting = load.get("num_waiting_requests", 0)
            entries.append(
                {
                    "dp_rank": number,
                    "num_reqs": load.get("num_running_requests", 0) + num_waiting,
                    "num_waiting_reqs": num_waiting,
                    "num_tokens": load.get("num_used_tokens", 0)
                    + load.get("num_waiting_tokens", 0),
                }
            )
        return json_response(entries)

    async def _loads(self) -> dict[int, dict[str, int]]:
        """What the engines say, in the order of their numbers."""
        check_live(self._front)
        answers = await answers_of(self._front.engine.engines, "loads")
        return {number: answers[number] or {} for number in sorted(answers)}

    def _load_entry(self, number: int, load: dict[str, int]) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "dp_rank": number,
            "num_running_reqs": load.get("num_running_requests", 0),
            "num_waiting_reqs": load.get("num_waiting_requests", 0),
            "num_waiting_tokens": load.get("num_waiting_tokens", 0),
            "num_used_tokens": load.get("num_used_tokens", 0),
            "max_total_num_tokens": load.get("num_total_tokens", self._front.limits.pool_tokens),
            "max_running_requests": self._front.config.max_running_requests,
        }
        entry["token_usage"] = _share(entry["num_used_tokens"], entry["max_total_num_tokens"])
        return entry

    def _names(self) -> dict[str, str]:
        """Clients load the tokenizer from ``tokenizer_path``: a directory rather than an id."""
        front = self._front
        return {
            "model_path": front.config.model_path or front.model_directory,
            "served_model_name": front.served_name,
            "tokenizer_path": front.model_directory,
        }

    def _parsers(self) -> dict[str, str | None]:
        """What the options came to: ``auto`` is settled."""
        formats = self._front.model_format
        return {
            "reasoning_parser": formats.reasoning_format,
            "tool_call_parser": formats.tool_format,
        }

    async def _internal_states(self) -> list[dict[str, Any]]:
        """One entry per engine that lives, in the order of their numbers."""
        engines = self._front.engine.engines
        numbers = sorted(engines)
        found = await asyncio.gather(*(_stats(engines[number]) for number in numbers))
        return [self._internal_state(*pair) for pair in zip(numbers, found, strict=True)]

    def _internal_state(self, number: int, stats: dict[str, Any]) -> dict[str, Any]:
        """What benchmark clients read, and the engine's own counters."""
        front = self._front
        rate = self._rates.setdefault(number, TokenRate())
        return {
            "last_gen_throughput": rate.update(stats.get("num_output_tokens", 0), time.monotonic()),
            "effective_max_running_requests_per_dp": front.config.max_running_requests,
            "memory_usage": {
                "weight": None,
                "kvcache": None,
                "token_capacity": front.limits.pool_tokens,
                "graph": None,
            },
            "world_size": front.config.tp_size * front.config.pp_size,
            "dp_rank": number,
            "stats": stats,
        }


async def _stats(engine: EngineLink) -> dict[str, Any]:
    """The engine's counters; empty where it is silent."""
    try:
        return await asyncio.wait_for(engine.control("stats"), ENGINE_TIMEOUT_S) or {}
    except (asyncio.TimeoutError, EngineDeadError, NotReadyError):
        return {}


class TokenRate:
    """Output tokens per second between two looks, far enough apart."""

    def __init__(self) -> None:
        self._count = 0
        self._moment_s: float | None = None
        self._rate = 0.0

    def update(self, count: int, now_s: float) -> float:
        """The latest rate, given the number of tokens so far."""
        if self._moment_s is None:
            self._count, self._moment_s = count, now_s
        elif now_s - self._moment_s >= MIN_RATE_WINDOW_S:
            self._rate = max(0, count - self._count) / (now_s - self._moment_s)
            self._count, self._moment_s = count, now_s
        return round(self._rate, 3)


def shown_options(front: Front) -> dict[str, Any]:
    """Every option that is no secret, as the engine settled it; dp_size is the server's."""
    config = front.config
    ready = front.engine.ready
    fields = option_fields(type(config))
    options = {name: getattr(config, name) for name in fields}
    settled = {} if ready is None else {**ready.config, "dp_size": config.dp_size}
    options |= {name: value for name, value in settled.items() if name in fields}
    return {name: value for name, value in options.items() if not fields[name].is_secret}


def _model_type(directory: str) -> str | None:
    """The word of the checkpoint's config.json; None where there is none."""
    try:
        config = msgspec.json.decode((Path(directory) / "config.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    model_type = config.get("model_type") if isinstance(config, dict) else None
    return model_type if isinstance(model_type, str) else None


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
