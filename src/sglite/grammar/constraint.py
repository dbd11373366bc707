"""One answer's grammar, its thoughts, and what is left of its length.

The promise: an answer with a grammar ends valid however short its length is, if its shortest end
fits at the start. So an end that fits into what is left is known at every moment. It is looked for
again behind each token, which costs some microseconds, since the last one mostly still ends the
text, or a part of it does: 2 us, and 0.2 us for each of its tokens. Less would be no promise, as a
single token may lead to where the way to an end is long. Where none fits behind a token that was
sampled, the token does not stand: the known end takes its place.

      START ──the start token of thoughts──▶ THINKING ──their end token──▶ ANSWERING ──▶ ENDED
        └──────────any other token─────────────────────────────────────────▲

Shape legend: W words of 32 tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from sglite.grammar.backend import GrammarTooComplexError, Matcher, Words, set_bits
from sglite.grammar.closing import EndFinder
from sglite.request import Thinking

AMPLE_TOKENS = 64
"""With so many tokens left beside the known end, an answer goes on behind a token that fell."""
TIGHT_EFFORT = 16
"""Places looked at for an end that must be shorter than the known one; then the answer is cut."""
EFFORT = 64
AMPLE_EFFORT = 512
"""The same with AMPLE_TOKENS left: a token that falls then may spoil a good answer."""
SEARCH_S, REPLAY_SEARCH_S = 0.1, 0.4
"""The engine's thread waits no longer for a search; a replay is to find what was found before."""
MAX_ROLL_BACK = 256


class Taken(NamedTuple):
    """What stands behind a token that was sampled.

    ``token_ids`` is it and the ``num_forced`` ones that had to follow, or others in its place;
    empty only where the text ends before it and no token says so. ``is_end``: nothing may follow.
    ``is_cut``: it was led to its end since the length was used up, or the library gave up.
    """

    token_ids: list[int]
    num_forced: int = 0
    is_end: bool = False
    is_cut: bool = False


class _Phase(Enum):
    START = auto()
    THINKING = auto()
    ANSWERING = auto()
    ENDED = auto()


class _State(NamedTuple):
    """Where the answer stands. ``end`` is the known way to a valid end, None where none is known.

    ``num_matched`` tokens are behind the matcher. ``is_lost``: the grammar's library gave up.
    """

    phase: _Phase
    end: tuple[int, ...] | None
    num_tokens: int = 0
    num_thoughts: int = 0
    num_matched: int = 0
    is_lost: bool = False


class Constraint:
    """What one answer may consist of. Not for two threads at once.

    ``matcher`` stands at the start of its grammar, None for free text: then only the thoughts are
    limited, and ``ends`` may be None. ``shortest_end`` is an end from there; with the token that
    ends open thoughts it fits into ``max_new_tokens``. ``end_token_ids`` (EOS and the like) are
    legal exactly where the text may end. ``max_thinking_tokens`` None leaves thoughts free as long
    as an answer fits behind them. ``jumps``: tokens that must follow are appended at once.
    """

    def __init__(
        self,
        matcher: Matcher | None,
        *,
        ends: EndFinder | None,
        shortest_end: Sequence[int],
        max_new_tokens: int,
        end_token_ids: frozenset[int],
        thinking: Thinking | None,
        max_thinking_tokens: int | None,
        jumps: bool,
    ) -> None:
        self._matcher = matcher
        self._ends = ends
        self._max_new_tokens = max_new_tokens
        self._end_token_ids = end_token_ids
        self._thinking = thinking
        self._max_thinking_tokens = max_thinking_tokens
        self._jumps = jumps
        if thinking is None:
            phase = _Phase.ANSWERING
        else:
            phase = _Phase.THINKING if thinking.is_open else _Phase.START
        self._state = _State(phase, tuple(shortest_end))
        self._history: deque[_State] = deque(maxlen=MAX_ROLL_BACK)

    @property
    def needs_mask(self) -> bool:
        """False while anything may come: thoughts, or an answer without a grammar."""
        is_bound = self._state.phase in (_Phase.START, _Phase.ANSWERING)
        return self._matcher is not None and is_bound

    def fill_mask(self, words_W: Words) -> None:
        """Set the bits of the tokens that may come next, clear the others.

        Where the grammar's library gives up, the known end is all that may come. Raises
        GrammarTooComplexError where there is none.
        """
        assert self._matcher is not None, "an answer without a grammar needs no mask"
        try:
            self._matcher.fill_mask(words_W)
        except GrammarTooComplexError:
            if self._state.end is None:
                raise
            self._state = self._state._replace(is_lost=True)
        self._complete_mask(words_W)

    def _complete_mask(self, words_W: Words) -> None:
        """Add to the matcher's mask what is no part of the text."""
        state = self._state
        if state.is_lost:
            words_W[:] = 0
            set_bits(words_W, (state.end or ())[:1])
        if self._may_end():
            set_bits(words_W, self._end_token_ids)
        if state.phase is _Phase.START and self._has_room_for_thoughts():
            assert self._thinking is not None and self._thinking.start_token_id is not None
            set_bits(words_W, [self._thinking.start_token_id])

    def take(self, token_id: int) -> Taken:
        """The model sampled ``token_id``: what stands.

        A token that is not allowed does not stand either. Raises GrammarTooComplexError where no
        end is known that could take its place, and ValueError behind the answer's end.
        """
        phase = self._state.phase
        if phase is _Phase.ENDED:
            raise ValueError(f"token {token_id} follows an answer that has ended")
        if phase is _Phase.START and self._starts_thoughts(token_id):
            self._record(_Phase.THINKING)
            return Taken([token_id])
        if phase is _Phase.THINKING:
            return self._take_thought(token_id)
        return self._take_answer(token_id)

    def replay(self, token_ids: Sequence[int]) -> None:
        """Take what stood before a retraction, as it is.

        Raises ValueError where the grammar does not allow it.
        """
        for token_id in token_ids:
            if self._state.phase is _Phase.START and self._starts_thoughts(token_id):
                self._record(_Phase.THINKING)
            elif self._state.phase is _Phase.THINKING:
                self._replay_thought(token_id)
            elif self._matcher is None or token_id in self._end_token_ids:
                self._record(_Phase.ANSWERING)
            elif self._accept([token_id]):
                self._record_matched([self._end_behind(token_id, REPLAY_SEARCH_S)])
            else:
                raise ValueError(f"token {token_id} does not fit the grammar of its answer")

    def roll_back(self, num_tokens: int) -> None:
        """Take back the last tokens that stood, at most MAX_ROLL_BACK of them."""
        if num_tokens > len(self._history):
            raise ValueError(f"{num_tokens} tokens back; {len(self._history)} can be taken back")
        num_matched = self._state.num_matched
        for _ in range(num_tokens):
            self._state = self._history.pop()
        if self._matcher is not None and num_matched > self._state.num_matched:
            self._matcher.roll_back(num_matched - self._state.num_matched)

    # -- Thoughts ------------------------------------------------------------------------------

    def _starts_thoughts(self, token_id: int) -> bool:
        return (
            self._thinking is not None
            and token_id == self._thinking.start_token_id
            and self._has_room_for_thoughts()
        )

    def _has_room_for_thoughts(self) -> bool:
        """Whether there may be thoughts, and their two marks leave room for an answer."""
        if self._thinking is None or self._thinking.start_token_id is None:
            return False
        if self._matcher is None:
            return True  # nothing keeps a model from beginning some
        has_budget = self._max_thinking_tokens != 0
        return has_budget and self._num_left >= 2 + len(self._state.end or ())

    def _take_thought(self, token_id: int) -> Taken:
        assert self._thinking is not None
        is_end_token = token_id in self._end_token_ids
        if self._must_stop_thinking() or (is_end_token and self._matcher is not None):
            token_id = self._thinking.end_token_id
        if token_id != self._thinking.end_token_id:
            self._record(_Phase.ENDED if is_end_token else _Phase.THINKING, num_thoughts=1)
            return Taken([token_id], is_end=is_end_token)
        self._record(_Phase.ANSWERING)
        return self._taken_with_forced(token_id)

    def _must_stop_thinking(self) -> bool:
        budget = self._max_thinking_tokens
        if budget is not None and self._state.num_thoughts >= budget:
            return True
        # This token, the end of the thoughts, the answer.
        return self._matcher is not None and self._num_left < 2 + len(self._state.end or ())

    def _replay_thought(self, token_id: int) -> None:
        assert self._thinking is not None
        if token_id == self._thinking.end_token_id:
            self._record(_Phase.ANSWERING)
        else:
            self._record(_Phase.THINKING, num_thoughts=1)

    # -- The answer ----------------------------------------------------------------------------

    @property
    def _num_left(self) -> int:
        return self._max_new_tokens - self._state.num_tokens

    def _take_answer(self, token_id: int) -> Taken:
        if self._matcher is None:
            is_end = token_id in self._end_token_ids
            self._record(_Phase.ENDED if is_end else _Phase.ANSWERING)
            return Taken([token_id], is_end=is_end)
        if token_id in self._end_token_ids and self._may_end():
            self._record(_Phase.ENDED)
            return Taken([token_id], is_end=True)
        if token_id in self._end_token_ids or not self._accept([token_id]):
            return self._refuse()
        end = self._end_behind(token_id)
        if end is None and self._state.end is not None:
            self._matcher.roll_back(1)
            return self._refuse()
        self._record_matched([end])
        return self._taken_with_forced(token_id)

    def _may_end(self) -> bool:
        """Whether the text may end where it stands."""
        if self._matcher is None or self._state.is_lost:
            return not self._state.end
        return self._matcher.is_accepting

    def _accept(self, token_ids: Sequence[int]) -> bool:
        """Have the matcher take all of the tokens; False: it took none of them."""
        assert self._matcher is not None
        if self._state.is_lost:
            return False
        try:
            num_accepted = self._matcher.accept(token_ids)
        except GrammarTooComplexError:
            self._state = self._state._replace(is_lost=True)
            return False
        if num_accepted < len(token_ids):
            self._matcher.roll_back(num_accepted)
        return num_accepted == len(token_ids)

    def _end_behind(self, token_id: int, max_s: float = SEARCH_S) -> tuple[int, ...] | None:
        """An end behind ``token_id``, which the matcher took, that fits; None: none found."""
        assert self._matcher is not None and self._ends is not None
        if self._matcher.is_accepting:
            return ()
        end = self._state.end
        if end and end[0] == token_id:
            return end[1:]
        return self._fitting_end(self._num_left - 1, [token_id], max_s=max_s)

    def _fitting_end(
        self, max_tokens: int, taken: Sequence[int], *, max_s: float = SEARCH_S
    ) -> tuple[int, ...] | None:
        """An end where the matcher stands now, which is behind ``taken`` from the known end on."""
        assert self._matcher is not None and self._ends is not None
        end = self._state.end
        hints: Sequence[Sequence[int]] = ()
        effort = AMPLE_EFFORT
        if end is not None:
            if len(end) <= max_tokens and self._matcher.ends_after(end):
                return end
            hints = self._ends.rests(end, taken)
            effort = _effort(max_tokens - len(end))
        found = self._ends.find(
            self._matcher, max_tokens=max_tokens, hints=hints, effort=effort, max_s=max_s
        )
        return None if found is None else tuple(found)

    def _taken_with_forced(self, token_id: int) -> Taken:
        """What was recorded last stands, with the tokens that must follow, if they fit."""
        # Where the text may end, nothing is forced; where it may not, it is not complete.
        forced = [] if self._state.end == () else self._jump()
        is_end = False
        if self._state.end == () and self._matcher is not None and not self._state.is_lost:
            is_end = self._matcher.is_complete
        if is_end:
            self._state = self._state._replace(phase=_Phase.ENDED)
        return Taken([token_id, *forced], num_forced=len(forced), is_end=is_end)

    def _jump(self) -> list[int]:
        """Take the tokens that must follow; none where no end would fit behind them."""
        if not self._jumps or self._ends is None or self._matcher is None:
            return []
        forced = self._matcher.forced_tokens()
        has_room = bool(forced) and not self._may_end() and len(forced) <= self._num_left
        if not has_room or not self._accept(forced):
            return []
        known = self._state.end or ()
        end: tuple[int, ...] | None
        if self._matcher.is_accepting:
            end = ()
        elif list(known[: len(forced)]) == forced:
            end = known[len(forced) :]
        else:
            end = self._fitting_end(self._num_left - len(forced), forced)
        if end is None:
            self._matcher.roll_back(len(forced))
            return []
        self._record_matched((*forced[i + 1 :], *end) for i in range(len(forced)))
        return forced

    def _refuse(self) -> Taken:
        """The token sampled does not stand: the known end takes its place, whole or its start."""
        end = self._state.end
        if end is None:
            raise GrammarTooComplexError(
                "the grammar allows no end that could be found; simplify it or raise max_new_tokens"
            )
        if not end or self._num_left <= len(end) + AMPLE_TOKENS:
            return self._cut()
        if not self._accept(end[:1]):
            return self._cut()
        self._record_matched([end[1:]])
        return self._taken_with_forced(end[0])

    def _cut(self) -> Taken:
        """End the answer with the whole known end, or with a token that says so."""
        end = self._state.end or ()
        if end and self._accept(end):
            self._record_matched(end[i + 1 :] for i in range(len(end)))
            self._state = self._state._replace(phase=_Phase.ENDED)
            return Taken(list(end), is_end=True, is_cut=True)
        token_ids = list(end) or sorted(self._end_token_ids)[:1]
        for _ in token_ids:
            self._record(_Phase.ENDED)
        return Taken(token_ids, is_end=True, is_cut=True)

    # -- History -------------------------------------------------------------------------------

    def _record(self, phase: _Phase, *, num_thoughts: int = 0) -> None:
        """A token stands that the matcher does not see."""
        state = self._state
        self._history.append(state)
        self._state = state._replace(
            phase=phase,
            num_tokens=state.num_tokens + 1,
            num_thoughts=state.num_thoughts + num_thoughts,
        )

    def _record_matched(self, ends: Iterable[tuple[int, ...] | None]) -> None:
        """Tokens stand that the matcher took: the end known behind each."""
        for end in ends:
            state = self._state
            self._history.append(state)
            # Several times as quick as `_replace`, and needed for each token.
            self._state = _State(
                _Phase.ANSWERING,
                end,
                state.num_tokens + 1,
                state.num_thoughts,
                state.num_matched + 1,
                state.is_lost,
            )


def _effort(surplus: int) -> int:
    """How many places to look at with ``surplus`` tokens left beside the known end."""
    if surplus < 0:
        return TIGHT_EFFORT
    return EFFORT if surplus <= AMPLE_TOKENS else AMPLE_EFFORT
