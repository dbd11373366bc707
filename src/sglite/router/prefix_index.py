"""Which engines have which prefixes cached: known from their digests, or expected.

An engine is a bit of an integer, a prefix a 64-bit hash (``router.prefix_hashes``). *Known* is what
digests have told. *Expected* is what was sent to an engine and has not been told yet: a burst of
requests with one prefix lands together before any digest has come. An expectation ends

- when the engine's digest has the hash,
- ``grace_s`` after the end of the last request that raised it: a digest would have told by then,
- when ``max_expected`` is reached; the oldest go first.

Engines that tell nothing (``grace_s`` None) are expected to keep what was sent to them last.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sglite.router.prefix_hashes import unpack

GRACE_S = 5.0
"""Seconds between a request's end and the digest that tells of its pages, with much to spare."""
MAX_EXPECTED = 1 << 20
MAX_KNOWN = 1 << 23
"""Hashes of all engines together; a known one takes about 120 bytes."""


class PrefixDigest(Protocol):
    """What an engine tells of its cached pages; ``ipc.messages.Digest`` is one.

    ``added`` and ``removed`` are packed hashes. ``is_whole``: nothing but ``added`` is cached.
    """

    @property
    def is_whole(self) -> bool:
        """False where it tells changes only."""

    @property
    def added(self) -> bytes:
        """Hashes of pages that are cached now."""

    @property
    def removed(self) -> bytes:
        """Hashes of pages that no longer are."""


class _Sent(NamedTuple):
    """What one request made an engine expected to have."""

    engine: int
    hashes: Sequence[int]


class PrefixIndex:
    """Hashes of prefixes to the engines that have them, or soon will."""

    def __init__(
        self,
        *,
        grace_s: float | None = GRACE_S,
        max_expected: int = MAX_EXPECTED,
        max_known: int = MAX_KNOWN,
    ) -> None:
        self._grace_s = grace_s
        self._max_expected = max_expected
        self._max_known = max_known
        self._known: dict[int, int] = {}
        self._num_known: dict[int, int] = {}
        self._expected: dict[int, int] = {}
        self._raised_by: dict[int, dict[int, int]] = {}  # engine -> hash -> serial of the last
        self._sent: OrderedDict[int, _Sent] = OrderedDict()  # by serial
        self._num_sent_hashes = 0
        self._serials: dict[str, int] = {}
        self._next_serial = 0
        self._ending: deque[tuple[float, int]] = deque()

    # -- queries -----------------------------------------------------------------------------------

    def deepest(self, hashes: Sequence[int], engines: int = -1) -> tuple[int, int]:
        """How many of ``hashes`` the best of ``engines`` have, and those engines; both bit masks.

        By default the best of all.

        From the deepest back: a cache with windows may have lost pages in front of those it needs.
        """
        known, expected = self._known, self._expected
        for depth in range(len(hashes), 0, -1):
            name = hashes[depth - 1]
            mask = (known.get(name, 0) | expected.get(name, 0)) & engines
            if mask:
                return depth, mask
        return 0, 0

    def depth_at(self, engine: int, hashes: Sequence[int]) -> int:
        """How many of ``hashes`` one engine has."""
        return self.deepest(hashes, 1 << engine)[0]

    @property
    def num_known(self) -> int:
        """Different hashes that digests have told."""
        return len(self._known)

    @property
    def num_expected(self) -> int:
        """Different hashes that are expected."""
        return len(self._expected)

    # -- expectations ------------------------------------------------------------------------------

    def expect(self, request_id: str, engine: int, hashes: Sequence[int]) -> None:
        """A request with these prefixes goes to ``engine``."""
        bit, known, expected = 1 << engine, self._known, self._expected
        depth = len(hashes)
        while depth and not known.get(hashes[depth - 1], 0) & bit:
            depth -= 1
        new = hashes[depth:]
        if not new:
            return
        serial = self._next_serial
        self._next_serial += 1
        self._sent[serial] = _Sent(engine, new)
        self._serials[request_id] = serial
        self._num_sent_hashes += len(new)
        raised_by = self._raised_by.setdefault(engine, {})
        for name in new:
            if name not in raised_by:
                expected[name] = expected.get(name, 0) | bit
            raised_by[name] = serial
        while self._num_sent_hashes > self._max_expected:
            self._give_up(next(iter(self._sent)))

    def finished(self, request_id: str, now: float) -> None:
        """A request has ended: what it made expected is given up after the grace."""
        serial = self._serials.pop(request_id, None)
        if serial is not None and self._grace_s is not None:
            self._ending.append((now + self._grace_s, serial))

    def abandon(self, request_id: str) -> None:
        """A request will not be computed: what it made expected is given up now."""
        serial = self._serials.pop(request_id, None)
        if serial is not None:
            self._give_up(serial)

    def expire(self, now: float) -> None:
        """Give up what digests should have told before ``now``."""
        while self._ending and self._ending[0][0] <= now:
            self._give_up(self._ending.popleft()[1])

    def _give_up(self, serial: int) -> None:
        sent = self._sent.pop(serial, None)
        if sent is None:
            return
        self._num_sent_hashes -= len(sent.hashes)
        raised_by = self._raised_by.get(sent.engine, {})
        for name in sent.hashes:
            if raised_by.get(name) == serial:
                del raised_by[name]
                _clear(self._expected, name, 1 << sent.engine)

    # -- digests -----------------------------------------------------------------------------------

    def apply(self, engine: int, digest: PrefixDigest) -> None:
        """Take over what an engine tells. What does not fit ``max_known`` is left out."""
        if digest.is_whole:
            self._forget_known(engine)
        bit, known = 1 << engine, self._known
        num_changed = -sum(_clear(known, name, bit) for name in unpack(digest.removed))
        raised_by = self._raised_by.get(engine, {})
        for name in unpack(digest.added):
            mask = known.get(name, 0)
            if not mask & bit and (mask or len(known) < self._max_known):
                known[name] = mask | bit if mask else bit  # those of one engine share an integer
                num_changed += 1
            if raised_by.pop(name, None) is not None:
                _clear(self._expected, name, bit)
        self._num_known[engine] = self._num_known.get(engine, 0) + num_changed

    def forget(self, engine: int) -> None:
        """An engine has lost its cache, or is gone."""
        self._forget_known(engine)
        for name in self._raised_by.pop(engine, {}):
            _clear(self._expected, name, 1 << engine)

    def _forget_known(self, engine: int) -> None:
        """One pass over all that is known; spared where nothing is."""
        if not self._num_known.pop(engine, 0):
            return
        bit = 1 << engine
        for name in [name for name, mask in self._known.items() if mask & bit]:
            _clear(self._known, name, bit)


def _clear(masks: dict[int, int], name: int, bit: int) -> bool:
    """Take ``bit`` out of a mask; True where it was in."""
    mask = masks.get(name, 0)
    if not mask & bit:
        return False
    if mask == bit:
        del masks[name]
    else:
        masks[name] = mask ^ bit
    return True
