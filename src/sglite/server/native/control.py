"""What an operator may do to a running server: empty the cache, pause, profile."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sglite.errors import RequestError
from sglite.server.http.body import read_json
from sglite.server.http.field_policy import check_fields
from sglite.server.http.routes import ApiRoute, ControlRow, control_routes
from sglite.server.http.waiting import finish_or_disconnect
from sglite.validation.fields import INT32_MAX, boolean, integer, number, shown, string

if TYPE_CHECKING:
    from sglite.server.front import Front

FLUSHED = (
    "Cache flushed.\nPlease check backend logs for more details. (When there are running or "
    "waiting requests, the operation will not be performed.)\n"
)
NOT_FLUSHED = (
    "Cache not flushed: there are running or waiting requests. Try again when the server is idle, "
    "or send ?timeout=SECONDS to wait for that.\n"
)
MAX_FLUSH_WAIT_S = 600.0

PAUSE_MODES = ("abort", "retract", "in_place")
ACTIVITIES = ("CPU", "GPU", "MEM", "RPD")
MAX_PATH_CHARACTERS = 1024
MAX_PREFIX_CHARACTERS = 64
MAX_PROFILE_STEPS = 10_000

_PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")

_OPTIONAL_OBJECT: dict[str, Any] = {"type": "object"}


def routes(front: Front) -> list[ApiRoute]:
    """The routes of this module; all need control access."""
    api = ControlApi(front)
    both, post = ("GET", "POST"), ("POST",)
    table: list[ControlRow] = [
        ("/flush_cache", both, api.flush_cache, "Forget every prefix that is not pinned", None),
        ("/pause_generation", post, api.pause, "Stop generating; new requests wait", PAUSE_SCHEMA),
        ("/continue_generation", post, api.resume, "Go on after a pause", _OPTIONAL_OBJECT),
        ("/start_profile", both, api.start_profile, "Trace steps of the engine", PROFILE_SCHEMA),
        ("/stop_profile", both, api.stop_profile, "Write the trace", _OPTIONAL_OBJECT),
    ]
    return control_routes(table)


PAUSE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"mode": {"enum": list(PAUSE_MODES)}},
}
PROFILE_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "output_dir": {"type": ["string", "null"]},
        "num_steps": {"type": ["integer", "string", "null"]},
        "start_step": {"type": ["integer", "string", "null"]},
        "activities": {"type": ["array", "null"]},
        "with_stack": {"type": ["boolean", "null"]},
        "record_shapes": {"type": ["boolean", "null"]},
        "profile_prefix": {"type": ["string", "null"]},
    },
}
PROFILE_FIELDS = frozenset(PROFILE_SCHEMA["properties"])
PROFILE_UNSUPPORTED = {
    "profile_by_stage": False,
    "profile_stages": None,
    "profile_id": None,
    "merge_profiles": False,
    "detailed_annotations": False,
}


class ControlApi:
    """The handlers."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def flush_cache(self, request: Request) -> Response:
        """``/flush_cache?timeout=SECONDS``: SGLang's texts, 400 where requests live."""
        timeout_s = _timeout_s(request.query_params.get("timeout"))
        await read_json(request, may_be_empty=True)
        flush = self._front.engine.control("flush_cache", timeout_s=timeout_s)
        if await finish_or_disconnect(request.receive, flush):
            return PlainTextResponse(FLUSHED)
        return PlainTextResponse(NOT_FLUSHED, 400)

    async def pause(self, request: Request) -> Response:
        """``/pause_generation``: abort, retract or keep what runs; nothing is generated after."""
        body = await read_json(request, may_be_empty=True)
        mode = body.get("mode")
        mode = PAUSE_MODES[0] if mode is None else mode
        if mode not in PAUSE_MODES:
            raise RequestError(
                f"mode must be one of {', '.join(PAUSE_MODES)}, got {shown(mode)}", param="mode"
            )
        await self._front.engine.control("pause", mode=mode)
        return _done("Generation paused successfully.")

    async def resume(self, request: Request) -> Response:
        """``/continue_generation``."""
        await read_json(request, may_be_empty=True)
        await self._front.engine.control("resume")
        return _done("Generation continued successfully.")

    async def start_profile(self, request: Request) -> Response:
        """``/start_profile``: the trace goes into --profile-dir. Raises RequestError."""
        body = await read_json(request, may_be_empty=True)
        check_fields(request, body, known=PROFILE_FIELDS, unsupported=PROFILE_UNSUPPORTED)
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.trace.json"
        settings = read_profile(body, self._front.config.profile_dir, file_name=name)
        _make_directory(settings["path"])
        await self._front.engine.control("start_profile", **settings)
        return PlainTextResponse("Start profiling.\n")

    async def stop_profile(self, request: Request) -> Response:
        """``/stop_profile``."""
        await read_json(request, may_be_empty=True)
        await self._front.engine.control("stop_profile")
        return PlainTextResponse("Stop profiling. This will take some time.\n")


def read_profile(
    body: Mapping[str, Any], profile_dir: str | None, *, file_name: str
) -> dict[str, Any]:
    """Where to trace to and how many steps, checked. Benchmark clients send numbers as strings.

    Raises RequestError, also where the server has no --profile-dir or the path leads out of it.
    """
    if profile_dir is None:
        raise RequestError("profiling is off; start with --profile-dir DIRECTORY")
    settings: dict[str, Any] = {}
    num_steps = _coerced(body.get("num_steps"))
    if num_steps is not None:
        settings["num_steps"] = integer("num_steps", num_steps, ge=1, le=MAX_PROFILE_STEPS)
    start_step = _coerced(body.get("start_step"))
    if start_step is not None and integer("start_step", start_step, ge=0, le=INT32_MAX):
        raise RequestError("start_step is not supported; a profile starts now", param="start_step")
    prefix = body.get("profile_prefix")
    if prefix is not None:
        file_name = f"{_prefix(prefix)}-{file_name}"
    _check_details(body)
    directory = _output_dir(body.get("output_dir"), profile_dir)
    return {"path": str(directory / file_name), **settings}


def _output_dir(asked: Any, profile_dir: str) -> Path:
    """``asked`` below ``profile_dir``: relative to it, or an absolute path that lies inside."""
    base = Path(profile_dir).resolve()
    if asked is None:
        return base
    text = string("output_dir", asked, max_length=MAX_PATH_CHARACTERS)
    path = base if "\0" in text else (base / text).resolve()
    if "\0" in text or not path.is_relative_to(base):
        raise RequestError(
            "output_dir must lie inside the server's --profile-dir", param="output_dir"
        )
    return path


def _prefix(value: Any) -> str:
    text = string("profile_prefix", value, max_length=MAX_PREFIX_CHARACTERS)
    if not _PREFIX.fullmatch(text):
        raise RequestError(
            "profile_prefix must be letters, digits, '-', '_' and '.'", param="profile_prefix"
        )
    return text


def _coerced(value: Any) -> Any:
    """``"5"`` as 5; the rest as it is."""
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10
    return int(value) if is_number else value


def _check_details(body: Mapping[str, Any]) -> None:
    """How much a trace shows: a wish, followed as far as this machine can."""
    for name in ("with_stack", "record_shapes"):
        value = body.get(name)
        if value is not None and value not in ("true", "false", "1", "0"):
            boolean(name, value)
    activities = body.get("activities")
    if activities is None:
        return
    if not isinstance(activities, list) or any(entry not in ACTIVITIES for entry in activities):
        raise RequestError(
            f"activities must be a list of {', '.join(ACTIVITIES)}", param="activities"
        )


def _timeout_s(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        value = float(text[:32])
    except ValueError:
        raise RequestError(
            f"timeout must be a number of seconds, got {shown(text)}", param="timeout"
        ) from None
    return number("timeout", value, ge=0, le=MAX_FLUSH_WAIT_S)


def _make_directory(file: str) -> None:
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            "the directory for the profile cannot be made", param="output_dir"
        ) from error


def _done(message: str) -> Response:
    body = msgspec.json.encode({"message": message, "status": "ok"})
    return Response(body, media_type="application/json")
