"""``/prefix``: compute a prompt's KV ahead of time, keep it under a name, let it go again."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.call_options import read_namespace
from sglite.errors import CapacityError, EngineDeadError, RequestError, SgliteError
from sglite.generation import Generation
from sglite.observability.logging import log_event
from sglite.request import FinishReason, SamplingParams
from sglite.server.http.body import read_json
from sglite.server.http.error_table import HttpError
from sglite.server.http.field_policy import check_fields
from sglite.server.http.routes import ApiRoute, ControlRow, control_routes, json_response
from sglite.server.native.health import check_live
from sglite.server.prompt_encoding import encode_prompts
from sglite.validation import RequestTraits
from sglite.validation.fields import shown, string

if TYPE_CHECKING:
    from sglite.ipc.engine_link import EngineLink
    from sglite.server.front import Front

logger = logging.getLogger(__name__)

MAX_PREFIXES = 256
MAX_NAME_CHARACTERS = 64
MAX_PINNED_SHARE = 0.5
"""Of the KV pool: what is pinned is lost to requests."""

PROMPT_FIELDS = ("text", "prompt", "input_ids")
KNOWN = frozenset(("name", "cache_salt", "extra_key", *PROMPT_FIELDS))
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "text": {"type": "string"},
        "input_ids": {"type": "array"},
        "cache_salt": {"type": "string"},
    },
    "required": ["name"],
}

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def routes(front: Front) -> list[ApiRoute]:
    """Pin and name (POST), list (GET), unpin (DELETE ``/prefix/NAME`` or ``/prefix?name=NAME``)."""
    api = PrefixApi(front)
    table: list[ControlRow] = [
        ("/prefix", ("POST", "PUT"), api.pin, "Keep a prompt's KV in the cache", SCHEMA),
        ("/prefix", ("GET",), api.list_pinned, "The prefixes that are kept", None),
        ("/prefix", ("DELETE",), api.unpin, "Let the prefix ?name= be evicted again", None),
        ("/prefix/{name}", ("DELETE",), api.unpin, "Let a prefix be evicted again", None),
    ]
    return control_routes(table)


@dataclass(frozen=True, slots=True)
class PinnedPrefix:
    """A prompt whose KV stays in the cache; only its whole pages do."""

    name: str
    namespace: str
    token_ids: tuple[int, ...]
    num_pinned_tokens: int

    @property
    def key(self) -> tuple[str, tuple[int, ...]]:
        """What the engine knows it by."""
        return self.namespace, self.token_ids

    def to_json(self) -> dict[str, Any]:
        """What the API says of it."""
        return {
            "name": self.name,
            "num_tokens": len(self.token_ids),
            "num_pinned_tokens": self.num_pinned_tokens,
        }


class PrefixApi:
    """The handlers, and the names, which every HTTP process of the server keeps alike.

    Changes that this process makes come one after another. A prefix is kept by every engine; the
    first process sees to it that one which comes later has them all.
    """

    def __init__(self, front: Front) -> None:
        self._front = front
        self._pinned: dict[str, PinnedPrefix] = {}
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        if front.peers.number == 0:
            front.engine.on_join.append(self._begin_restoring)
        front.peers.answer("name_prefix", self._name_here)
        front.peers.answer("forget_prefix", self._forget_here)

    async def pin(self, request: Request) -> Response:
        """Compute and keep a prompt; a name that is in use gets the new prompt.

        Raises RequestError, also where more would be pinned than is allowed, and CapacityError.
        """
        body = await read_json(request)
        check_fields(request, body, known=KNOWN, unsupported={})
        if self._front.config.disable_radix_cache:
            raise RequestError("there is no prefix cache: disable_radix_cache is set")
        name = _name(body.get("name"))
        namespace = read_namespace(body.get("cache_salt"), body.get("extra_key"))
        token_ids = await self._encode(body)
        async with self._lock:
            prefix = self._planned(name, namespace, token_ids)
            generation = await self._compute(prefix)
            await self._keep(prefix)
        answer = {**prefix.to_json(), "num_cached_tokens": generation.num_cached_tokens}
        return json_response(answer)

    async def list_pinned(self, request: Request) -> Response:
        """The names, oldest first."""
        prefixes = [prefix.to_json() for prefix in self._pinned.values()]
        return json_response({"prefixes": prefixes, "num_pinned_tokens": self._num_pinned_tokens()})

    async def unpin(self, request: Request) -> Response:
        """Forget a name. Raises HttpError 404 where there is no such name."""
        name = request.path_params.get("name") or request.query_params.get("name")
        async with self._lock:
            prefix = _found(await self._front.peers.ask("forget_prefix", name or ""))
            if prefix is None:
                raise HttpError(
                    f"no prefix is named {shown(name)}", status=404, code="not_found", param="name"
                )
            await self._release(prefix)
        return json_response({"name": prefix.name, "unpinned": True})

    # -- internals ---------------------------------------------------------------------------------

    async def _encode(self, body: Mapping[str, Any]) -> Sequence[int]:
        given = [field for field in PROMPT_FIELDS if body.get(field) is not None]
        if len(given) != 1:
            raise RequestError("give one of text and input_ids", param="text")
        (field,) = given
        prompt, kind = body[field], list if field == "input_ids" else str
        if not isinstance(prompt, kind):
            words = "a list of token ids" if kind is list else "a string"
            raise RequestError(f"{field} must be {words}, got {shown(prompt)}", param=field)
        limits = self._front.limits
        (token_ids,) = await encode_prompts(
            self._front.tokenizer, [prompt], max_tokens=limits.context_length, field=field
        )
        return token_ids

    def _planned(self, name: str, namespace: str, token_ids: Sequence[int]) -> PinnedPrefix:
        """The prefix as it will be, if there is room for it."""
        page_size = self._front.config.page_size
        num_pinned = len(token_ids) // page_size * page_size
        if not num_pinned:
            raise RequestError(
                f"the prefix has {len(token_ids)} tokens; only whole pages of {page_size} are kept",
                param="text",
            )
        old = self._pinned.get(name)
        if old is None and len(self._pinned) >= MAX_PREFIXES:
            raise RequestError(
                f"{MAX_PREFIXES} prefixes are pinned; unpin one with DELETE /prefix/NAME",
                param="name",
            )
        others = self._num_pinned_tokens() - (old.num_pinned_tokens if old else 0)
        most = int(self._front.limits.pool_tokens * MAX_PINNED_SHARE)
        if others + num_pinned > most:
            raise RequestError(
                f"with these {num_pinned:,} tokens {others + num_pinned:,} would be pinned; this "
                f"engine allows {most:,}, half of its KV pool. Unpin another prefix first.",
                param="text",
            )
        return PinnedPrefix(name, namespace, tuple(token_ids), num_pinned)

    def _num_pinned_tokens(self) -> int:
        return sum(prefix.num_pinned_tokens for prefix in self._pinned.values())

    async def _compute(self, prefix: PinnedPrefix) -> Generation:
        """Compute and pin it in every engine; the answer of one. Engines that end are left out."""
        check_live(self._front)
        engines = list(self._front.engine.engines.values())
        calls = [self._compute_in(engine, prefix) for engine in engines]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        good = [answer for answer in answers if isinstance(answer, Generation)]
        faults = [answer for answer in answers if isinstance(answer, BaseException)]
        grave = [fault for fault in faults if not (good and isinstance(fault, EngineDeadError))]
        is_whole = all(each.finish_reason is FinishReason.LENGTH for each in good)
        if good and (grave or not is_whole):
            await self._release(prefix)
        for fault in grave:
            raise fault
        if not is_whole:
            raise CapacityError("the prefix was not computed; try again later", retry_after_s=1.0)
        return good[0]

    async def _compute_in(self, engine: EngineLink, prefix: PinnedPrefix) -> Generation:
        traits = RequestTraits(namespace=prefix.namespace, pin_prefix=True)
        return await compute_prefix(self._front, engine, prefix.token_ids, traits)

    def _begin_restoring(self, number: int) -> None:
        task = asyncio.ensure_future(self._restore(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restore(self, number: int) -> None:
        """Pin everything in an engine that has just come. What fails there is computed when it is
        asked for, as any prompt.
        """
        async with self._lock:
            for prefix in list(self._pinned.values()):
                engine = self._front.engine.engines.get(number)
                if engine is None:
                    return
                try:
                    await self._compute_in(engine, prefix)
                except SgliteError as error:
                    cause = str(error)
                    log_event(
                        logger, logging.WARNING, "prefix_not_restored", engine=number, cause=cause
                    )

    async def _keep(self, prefix: PinnedPrefix) -> None:
        """Name it, in every process, and let go what had this name before."""
        old = _found(await self._front.peers.ask("name_prefix", asdict(prefix)))
        if old is not None:
            await self._release(old)

    def _name_here(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        """Take a name over from another process, or from this one; what had it before."""
        prefix = _prefix_of(fields)
        old = self._pinned.pop(prefix.name, None)
        self._pinned[prefix.name] = prefix
        return None if old is None else asdict(old)

    def _forget_here(self, name: str) -> dict[str, Any] | None:
        """As :meth:`_name_here`, with nothing in its place."""
        old = self._pinned.pop(name, None)
        return None if old is None else asdict(old)

    async def _release(self, prefix: PinnedPrefix) -> None:
        """Unpin, unless another name means the same prompt."""
        if all(other.key != prefix.key for other in self._pinned.values()):
            await self._front.engine.control(
                "unpin_prefix", namespace=prefix.namespace, token_ids=list(prefix.token_ids)
            )


async def compute_prefix(
    front: Front, engine: EngineLink, token_ids: Sequence[int], traits: RequestTraits
) -> Generation:
    """Put a prompt's KV into an engine's cache.

    Raises RequestError, CapacityError, EngineDeadError.
    """
    sampling = SamplingParams(max_new_tokens=0, temperature=0.0)
    stream = front.answer(front.open_prompt(list(token_ids), sampling, traits=traits), engine)
    try:
        (generation,) = await stream.collect()
    finally:
        stream.close()
    return generation


def _found(answers: list[dict[str, Any] | None]) -> PinnedPrefix | None:
    """The prefix that the processes agree on."""
    return next((_prefix_of(each) for each in answers if each is not None), None)


def _prefix_of(fields: dict[str, Any]) -> PinnedPrefix:
    return PinnedPrefix(**{**fields, "token_ids": tuple(fields["token_ids"])})


def _name(value: Any) -> str:
    name = string("name", value, max_length=MAX_NAME_CHARACTERS)
    if not _NAME.fullmatch(name):
        raise RequestError("name must be letters, digits, '-', '_' and '.'", param="name")
    return name
