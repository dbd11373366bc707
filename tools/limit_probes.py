"""Asks the HTTP application what a field may be: by values that no field takes.

    server = ProbedServer()
    server.rules("/v1/completions", {"prompt": [1]}, "n")    # ["an integer", "from 1 to 128"]

It is the application of ``sglite serve`` over an engine that takes no request, so a value that
passes every check ends there, and nothing is computed. What the application says to the others,
without the value it was given, are the rules of the field.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sglite.config import ServerConfig
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import CapacityError
from sglite.models.generation_config import GenerationDefaults
from sglite.models.hf_config import HFConfig
from sglite.request import Request
from sglite.server.app import build_app
from sglite.server.front import Front
from sglite.tokenizer import load_tokenizer
from sglite.validation import RequestLimits

MANY = 12_000
"""More than any list, object or string of a request may have, but prompts and chats."""

PROBES: tuple[Any, ...] = (
    {"a": 1},
    "x",
    True,
    1.5,
    "",
    [],
    [None],
    2**70,
    -(2**70),
    1e300,
    -1e300,
    "x" * MANY,
    ["x"] * MANY,
    ["x" * MANY],
    [[1]] * 1000,  # more than the prompts of a call; brackets are slow to count
    [1] * MANY,
    [2**70],
    [""],
    {"1": 1e300},
    {str(number): 1 for number in range(MANY)},
)
"""Sent one after the other as the value of a field. Rules are listed in this order."""

_ENCODED_PROBES = [msgspec.Raw(json.dumps(value).encode()) for value in PROBES]

_PARTS_THAT_VARY = (
    (re.compile(r"[,;] (?:got|not) .*", re.DOTALL), ""),
    (re.compile(r"^has [\d,]+ (\w+); the limit is ([\d,]+)$"), r"at most \2 \1"),
    (re.compile(r"^holds [^;]+; "), ""),
    (re.compile(r"^must (?:be )?"), ""),
    (re.compile(r"^: "), ""),
)
"""What a message says of the value that was given, and what remains."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered. ``text`` is the message of its error, empty where it has none."""

    status: int
    text: str = ""
    param: str | None = None

    @property
    def is_taken(self) -> bool:
        """True where the call would have been served."""
        return self.status in (200, 429)


class NoEngine:
    """What an engine's client is to the server, of an engine that has no room."""

    is_alive = True
    heartbeat_age_s = 0.0
    ready = None
    heartbeat = None
    heals = False
    open_count = 0
    waiting_count = 0
    on_note = None

    def __init__(self) -> None:
        self.on_join: list[Any] = []
        self.engines = {0: self}

    def submit(self, requests: Sequence[Request], receiver: Any) -> None:
        """Refuse all requests."""
        raise CapacityError("every check was passed")

    def abort(self, request_ids: Sequence[str]) -> None:
        """Nothing is ever open."""

    async def control(self, name: str, **arguments: Any) -> Any:
        """Refuse every operation."""
        raise CapacityError("every check was passed")


@dataclass(slots=True)
class ProbedServer:
    """The application with the embedded model's limits. ``options`` are those of ServerConfig."""

    options: Mapping[str, Any] = field(default_factory=dict)
    front: Front = field(init=False)
    _app: Any = field(init=False)

    def __post_init__(self) -> None:
        # The engine tells its front what was settled at its start.
        self.front = _front(ServerConfig(**{"page_size": 16, **self.options}))
        self._app = build_app(self.front)

    def ask(self, path: str, body: Mapping[str, Any], *, method: str = "POST") -> Answer:
        """The answer to one call from this machine."""
        return asyncio.run(self._call(path, body, method))

    def ask_all(self, path: str, bodies: Iterable[Mapping[str, Any]]) -> list[Answer]:
        """The answers to calls, one after the other."""

        async def ask() -> list[Answer]:
            return [await self._call(path, body, "POST") for body in bodies]

        return asyncio.run(ask())

    def rules(
        self, path: str, body: Mapping[str, Any], name: str, extra: Sequence[Any] = ()
    ) -> list[str]:
        """What the field ``name`` of ``body`` must be, each rule once, in words.

        ``name`` may be ``outer.inner``. ``extra`` are values beside :data:`PROBES`.
        """
        values = (*_ENCODED_PROBES, *extra)
        answers = self.ask_all(path, [_with(body, name, value) for value in values])
        rules = [_rule(answer, name) for answer in answers]
        return list(dict.fromkeys(rule for rule in rules if rule is not None))

    async def _call(self, path: str, body: Mapping[str, Any], method: str) -> Answer:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "state": {},
        }
        sent: list[Any] = []
        incoming = iter([{"type": "http.request", "body": msgspec.json.encode(body)}])

        async def receive() -> Any:
            return next(incoming, None) or await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        return _answer(sent)


def _front(config: ServerConfig) -> Front:
    hf = HFConfig.from_directory(EMBEDDED_MODEL_DIR)
    defaults = GenerationDefaults.from_directory(EMBEDDED_MODEL_DIR, hf)
    context_length = int(hf.raw["max_position_embeddings"])
    limits = RequestLimits(
        context_length=context_length,
        pool_tokens=config.max_running_requests * context_length,
        vocab_size=int(hf.raw["vocab_size"]),
        eos_token_ids=frozenset(defaults.eos_token_ids),
        options=config,
        model_context_length=context_length,
    )
    engine: Any = NoEngine()
    return Front(
        config=config,
        engine=engine,
        tokenizer=load_tokenizer(EMBEDDED_MODEL_DIR),
        limits=limits,
        generation_defaults=defaults,
        model_directory=str(EMBEDDED_MODEL_DIR),
        architectures=[],
    )


def _with(body: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    outer, _, inner = name.partition(".")
    if not inner:
        return {**body, name: value}
    return {**body, outer: {**body.get(outer, {}), inner: value}}


def _answer(sent: Sequence[Any]) -> Answer:
    status = sent[0]["status"]
    if status == 200:
        return Answer(status)
    content = b"".join(message.get("body", b"") for message in sent[1:])
    error = json.loads(content)["error"]
    return Answer(status, error["message"], error["param"])


def _rule(answer: Answer, name: str) -> str | None:
    """What an answer says of the field ``name``; None where it says nothing of it."""
    field_name = name.rpartition(".")[2]
    param = re.split(r"[.\[]", answer.param or "")[0]
    if answer.is_taken or param not in (field_name, name.partition(".")[0]):
        return None
    return words_of(answer.text, field_name)


def words_of(message: str, name: str) -> str:
    """A message without the field's name, "must be" and the value that it was about.

    ``n must be from 1 to 128, got 999`` becomes ``from 1 to 128``.
    """
    words = message
    for beginning in (name, "prompt "):
        words = words.removeprefix(beginning).lstrip()
    for part, remains in _PARTS_THAT_VARY:
        words = part.sub(remains, words)
    return words
