"""Who gets which request, among engines that come and go.

    router = Router(options, num_engines=4)
    engine = router.try_route(request, now)       # None: it has to wait
    ...
    router.finished(request.request_id, now)      # there may be room for one that waits

An engine is a number, from 0. It is *up*, *draining* (keeps what it has, gets nothing new) or *out*
(has nothing). Time is handed in, in seconds on any clock that only grows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sglite.config_parallel import RoutingOptions
from sglite.router.policies import EngineLoad, RoutedRequest, make_policy
from sglite.router.prefix_index import GRACE_S, PrefixDigest, PrefixIndex


@dataclass(slots=True)
class _Engine:
    """What the router knows of one engine.

    ``open_tokens`` has the tokens of each of our requests there; ``others_*`` are what other
    routers have there. ``load`` is of all.
    """

    load: EngineLoad
    is_up: bool = True
    open_tokens: dict[str, int] = field(default_factory=dict)
    own_tokens: int = 0
    others_requests: int = 0
    others_tokens: int = 0

    def count(self) -> None:
        """Bring ``load`` up to date."""
        num_requests = len(self.open_tokens) + self.others_requests
        num_tokens = self.own_tokens + self.others_tokens
        self.load = EngineLoad(self.load.engine, num_requests, num_tokens)


class Router:
    """Routes requests by a policy, within limits. Not safe to use from several threads.

    The limits are on what this router has open: where several share engines, each has its part of
    them, and need not hear when a request of another has ended.
    ``has_digests``: the engines tell what they have cached (:meth:`take_digest`); where they do
    not, they are believed to keep what they were sent last.
    """

    def __init__(
        self,
        options: RoutingOptions,
        num_engines: int,
        *,
        seed: int = 0,
        has_digests: bool = True,
    ) -> None:
        self.index = PrefixIndex(grace_s=GRACE_S if has_digests else None)
        self._options = options
        self._policy = make_policy(options, self.index, seed)
        self._engines = {number: _Engine(EngineLoad(number)) for number in range(num_engines)}
        self._places: dict[str, int] = {}

    # -- requests ----------------------------------------------------------------------------------

    def try_route(self, request: RoutedRequest, now: float) -> int | None:
        """The engine that the request goes to, where it is open until :meth:`finished`.

        None where a limit is reached or no engine is up: it has to wait. Raises ValueError where
        the id is open already.
        """
        if request.request_id in self._places:
            raise ValueError(f"the request id {request.request_id:.80} is open")
        loads = self._choosable()
        if not loads:
            return None
        self.index.expire(now)
        number = self._policy.choose(request, loads)
        self._places[request.request_id] = number
        engine = self._engines[number]
        engine.open_tokens[request.request_id] = request.num_tokens
        engine.own_tokens += request.num_tokens
        engine.count()
        return number

    def finished(self, request_id: str, now: float) -> None:
        """A request has ended, however; an unknown one is ignored."""
        number = self._places.pop(request_id, None)
        if number is None:
            return
        engine = self._engines[number]
        engine.own_tokens -= engine.open_tokens.pop(request_id)
        engine.count()
        self.index.finished(request_id, now)

    def engine_of(self, request_id: str) -> int | None:
        """Where a request is open; None where it is not."""
        return self._places.get(request_id)

    def loads(self) -> list[EngineLoad]:
        """How busy each engine is, also those that are out, in the order of their numbers."""
        return [self._engines[number].load for number in sorted(self._engines)]

    # -- engines -----------------------------------------------------------------------------------

    def add_engine(self, *, is_up: bool = True) -> int:
        """One engine more; its number, the lowest that is free."""
        number = next(n for n in range(len(self._engines) + 1) if n not in self._engines)
        self._engines[number] = _Engine(EngineLoad(number), is_up)
        self._engines = dict(sorted(self._engines.items()))
        return number

    def remove_engine(self, engine: int) -> list[str]:
        """Forget an engine and its number; the requests that were open there."""
        request_ids = self.take_out(engine)
        del self._engines[engine]
        return request_ids

    def take_out(self, engine: int) -> list[str]:
        """The engine is dead: its cache is lost, and so are its open requests, which are returned
        in the order in which they came. They may be routed anew.
        """
        gone = self._engines[engine]
        request_ids = list(gone.open_tokens)
        for request_id in request_ids:
            del self._places[request_id]
            self.index.abandon(request_id)
        self.index.forget(engine)
        self._engines[engine] = _Engine(EngineLoad(engine), is_up=False)
        return request_ids

    def drain(self, engine: int) -> None:
        """Send nothing new there; what is open goes on, and the cache stays."""
        self._engines[engine].is_up = False

    def put_back(self, engine: int) -> None:
        """The engine takes requests again."""
        self._engines[engine].is_up = True

    def take_digest(self, engine: int, digest: PrefixDigest) -> None:
        """What an engine tells of its cache; of an engine that was removed nothing is known."""
        if engine in self._engines:
            self.index.apply(engine, digest)

    def take_load(self, engine: int, num_requests: int, num_tokens: int) -> None:
        """What an engine says is open there, of all routers together.

        Needed only where there are several: what exceeds our own counts as theirs.
        """
        state = self._engines.get(engine)
        if state is None:
            return
        state.others_requests = max(0, num_requests - len(state.open_tokens))
        state.others_tokens = max(0, num_tokens - state.own_tokens)
        state.count()

    def _choosable(self) -> list[EngineLoad]:
        """The engines that may have one request more, in the order of their numbers."""
        loads = [engine.load for engine in self._engines.values() if engine.is_up]
        most, limit = self._options.max_inflight_total, self._options.max_inflight_per_engine
        if most is not None and len(self._places) >= most:
            return []
        if limit is None:
            return loads
        return [load for load in loads if len(self._engines[load.engine].open_tokens) < limit]
