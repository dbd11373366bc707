"""Answers end valid within their length, whatever is sampled; thoughts keep to theirs."""

from __future__ import annotations

import random
from functools import cache

import pytest

from sglite.grammar.backend import GrammarTooComplexError
from sglite.grammar.constraint import MAX_ROLL_BACK, Constraint, Taken
from sglite.request import Thinking
from tests.grammar.small_grammars import (
    GRAMMARS,
    LLGuidanceMatcher,
    allowed,
    finder,
    new_mask,
    object_of,
    start,
    tokenizer,
)

EOS = 0
THINK, END_THINK, WORD = 4001, 4002, 300
IS_OPEN = Thinking(start_token_id=THINK, end_token_id=END_THINK, is_open=True)
MAY_THINK = Thinking(start_token_id=THINK, end_token_id=END_THINK, is_open=False)
PERSON = object_of(["name", "age"], name={"type": "string"}, age={"type": "integer"})


@cache
def shortest_end(kind: str, text: str) -> tuple[int, ...]:
    found = finder().find(start(kind, text), max_tokens=400, effort=2000)
    assert found is not None
    return tuple(found)


def constrain(
    grammar: tuple[str, str],
    max_new_tokens: int,
    *,
    matcher: LLGuidanceMatcher | None = None,
    thinking: Thinking | None = None,
    max_thinking_tokens: int | None = None,
    jumps: bool = True,
) -> Constraint:
    return Constraint(
        matcher or start(*grammar),
        ends=finder(),
        shortest_end=shortest_end(*grammar),
        max_new_tokens=max_new_tokens,
        end_token_ids=frozenset({EOS}),
        thinking=thinking,
        max_thinking_tokens=max_thinking_tokens,
        jumps=jumps,
    )


def free(thinking: Thinking | None, max_thinking_tokens: int | None) -> Constraint:
    """A constraint of thoughts alone."""
    return Constraint(
        None,
        ends=None,
        shortest_end=(),
        max_new_tokens=100,
        end_token_ids=frozenset({EOS}),
        thinking=thinking,
        max_thinking_tokens=max_thinking_tokens,
        jumps=True,
    )


def tokens_of(text: str) -> list[int]:
    return tokenizer().tokenize_str(text)


def legal(constraint: Constraint) -> list[int]:
    words_W = new_mask()
    constraint.fill_mask(words_W)
    return allowed(words_W)


def answer(constraint: Constraint, max_new_tokens: int, rng: random.Random) -> list[int]:
    """What comes of sampling each legal token with the same probability."""
    token_ids: list[int] = []
    while len(token_ids) < max_new_tokens:
        taken = constraint.take(rng.choice(legal(constraint)))
        token_ids += taken.token_ids
        if taken.is_end:
            break
    return token_ids


def text_of(token_ids: list[int]) -> str:
    return finder().text([i for i in token_ids if i != EOS]).decode()


def check_answer(name: str, max_new_tokens: int, seed: int) -> None:
    grammar = GRAMMARS[name]
    rng = random.Random(seed)
    constraint = constrain(grammar, max_new_tokens, jumps=rng.random() < 0.5)
    token_ids = answer(constraint, max_new_tokens, rng)
    assert len(token_ids) <= max_new_tokens
    if token_ids and token_ids[-1] == EOS:
        token_ids.pop()
    behind = start(*grammar)
    assert behind.accept(token_ids) == len(token_ids)
    assert behind.is_accepting, f"{name}, {max_new_tokens} tokens: {finder().text(token_ids)!r}"


@pytest.mark.parametrize("name", GRAMMARS)
def test_random_answers_end_valid(name):
    fewest = len(shortest_end(*GRAMMARS[name]))
    for surplus in (0, 1, 12):
        check_answer(name, fewest + surplus, seed=surplus)


@pytest.mark.slow
@pytest.mark.parametrize("name", GRAMMARS)
def test_random_answers_of_any_length_end_valid(name):
    fewest = len(shortest_end(*GRAMMARS[name]))
    for surplus in range(201):
        check_answer(name, fewest + surplus, seed=1000 + surplus)


def test_the_end_of_an_answer_is_legal_where_its_text_may_end():
    constraint = constrain(("regex", "ab?"), 9, jumps=False)
    assert EOS not in legal(constraint)
    constraint.take(tokens_of("a")[0])
    assert EOS in legal(constraint)
    taken = constraint.take(EOS)
    assert taken == Taken([EOS], is_end=True)
    with pytest.raises(ValueError, match="has ended"):
        constraint.take(EOS)


def test_an_answer_ends_with_the_last_token_that_its_grammar_allows():
    constraint = constrain(("regex", "x|yz"), 9)
    assert constraint.take(tokens_of("x")[0]) == Taken(tokens_of("x"), is_end=True)


def test_tokens_that_must_follow_are_appended():
    first, *others = tokens_of('{"name":"')
    taken = constrain(PERSON, 100).take(first)
    assert taken.num_forced == len(taken.token_ids) - 1 > 0
    assert text_of(taken.token_ids).startswith('{"name":')
    assert constrain(PERSON, 100, jumps=False).take(first) == Taken([first])
    assert others


def test_jumps_change_no_answer():
    text = '{"name":"Ada Lovelace","age":36}'
    with_jumps, token_by_token = constrain(PERSON, 60), constrain(PERSON, 60, jumps=False)
    wanted = tokens_of(text)
    got: list[int] = []
    while len(got) < len(wanted):
        got += with_jumps.take(wanted[len(got)]).token_ids
    for token_id in wanted[:-1]:
        assert token_by_token.take(token_id).token_ids == [token_id]
    assert text_of(got) == text
    assert token_by_token.take(wanted[-1]).is_end


def test_a_token_behind_which_no_end_fits_does_not_stand():
    grammar = ("regex", "x|a{300}")
    cut = constrain(grammar, 20).take(tokens_of("a")[0])
    assert cut == Taken(tokens_of("x"), is_end=True, is_cut=True)
    assert not constrain(grammar, 400).take(tokens_of("a")[0]).is_cut


def test_an_answer_is_cut_when_its_length_is_used_up():
    fewest = len(shortest_end(*PERSON))
    constraint = constrain(PERSON, fewest + 3, jumps=False)
    got: list[int] = []
    for token_id in tokens_of('{"name":"') + tokens_of("a") * 20:
        taken = constraint.take(token_id)
        got += taken.token_ids
        if taken.is_end:
            break
    assert taken.is_cut
    assert len(got) <= fewest + 3
    assert text_of(got) in {'{"name":"' + "a" * n + '","age":0}' for n in range(6)}


def test_an_illegal_token_does_not_stand():
    grammar = ("regex", "[ab]{3}[0-9]{100}")
    constraint = constrain(grammar, 400)
    taken = constraint.take(tokens_of("?")[0])
    assert taken.token_ids[0] in legal(constrain(grammar, 400))
    assert not taken.is_end, "there is room to go on"
    assert constrain(grammar, 120).take(EOS).is_cut


def test_text_that_may_end_gives_way_to_an_end_token():
    # Behind the "b" that was sampled ten more would be needed.
    constraint = constrain(("regex", "(a|ba{300})?"), 5)
    assert constraint.take(tokens_of("b")[0]) == Taken([EOS], is_end=True, is_cut=True)


class GivesUp(LLGuidanceMatcher):
    """A matcher whose library gives up at the third mask or at a token."""

    num_masks = 3
    bad_token = -1

    def fill_mask(self, words_W):
        self.num_masks -= 1
        if self.num_masks < 0:
            raise GrammarTooComplexError("too much work")
        super().fill_mask(words_W)

    def accept(self, token_ids):
        if self.bad_token in token_ids:
            raise GrammarTooComplexError("too much work")
        return super().accept(token_ids)


def test_a_library_that_gives_up_leaves_a_valid_answer():
    for seed in range(5):
        matcher = GivesUp(start(*PERSON).matcher)
        constraint = constrain(PERSON, 60, matcher=matcher, jumps=False)
        token_ids = answer(constraint, 60, random.Random(seed))
        assert start(*PERSON).ends_after(token_ids)
        assert matcher.num_masks == -1


def test_a_token_that_is_too_much_for_the_library_does_not_stand():
    matcher = GivesUp(start(*PERSON).matcher)
    matcher.bad_token = tokens_of("{")[0]
    constraint = constrain(PERSON, 60, matcher=matcher)
    taken = constraint.take(matcher.bad_token)
    assert taken.is_cut and start(*PERSON).ends_after(taken.token_ids)


def test_without_a_known_end_too_much_work_is_an_error():
    matcher = GivesUp(start(*PERSON).matcher)
    matcher.num_masks = 0
    constraint = constrain(PERSON, 60, matcher=matcher)
    constraint._state = constraint._state._replace(end=None)
    with pytest.raises(GrammarTooComplexError):
        legal(constraint)
    with pytest.raises(GrammarTooComplexError):
        constraint.take(EOS)


# -- Thoughts -------------------------------------------------------------------------------------


def test_thoughts_are_free_and_the_grammar_begins_behind_them():
    constraint = constrain(PERSON, 100, thinking=IS_OPEN, jumps=False)
    assert not constraint.needs_mask
    for _ in range(5):
        assert constraint.take(WORD) == Taken([WORD])
    assert constraint.take(END_THINK) == Taken([END_THINK])
    assert constraint.needs_mask
    assert legal(constraint) == legal(constrain(PERSON, 100))


def test_forced_tokens_follow_the_end_of_thoughts():
    taken = constrain(PERSON, 100, thinking=IS_OPEN).take(END_THINK)
    assert text_of(taken.token_ids[1:]).startswith('{"name":')
    assert taken.num_forced == len(taken.token_ids) - 1


def test_thoughts_may_begin_with_their_token():
    constraint = constrain(PERSON, 100, thinking=MAY_THINK, jumps=False)
    assert constraint.needs_mask
    assert legal(constraint) == sorted([*legal(constrain(PERSON, 100)), THINK])
    constraint.take(THINK)
    assert not constraint.needs_mask
    constraint.take(WORD)
    constraint.take(END_THINK)
    constraint.take(tokens_of("{")[0])
    assert THINK not in legal(constraint)


def test_thoughts_do_not_begin_where_no_answer_fits_behind_them():
    fewest = len(shortest_end(*PERSON))
    assert THINK in legal(constrain(PERSON, fewest + 2, thinking=MAY_THINK))
    short = constrain(PERSON, fewest + 1, thinking=MAY_THINK)
    assert THINK not in legal(short)
    assert short.take(THINK).is_cut


def test_thoughts_that_may_not_have_a_token_do_not_begin():
    options = {"thinking": MAY_THINK, "max_thinking_tokens": 0}
    assert THINK not in legal(constrain(PERSON, 100, **options))


@pytest.mark.parametrize("budget", [0, 1, 4])
def test_thoughts_end_when_their_budget_is_used_up(budget):
    for constraint in (free(IS_OPEN, budget), constrain(PERSON, 100, thinking=IS_OPEN)):
        constraint._max_thinking_tokens = budget
        for _ in range(budget):
            assert constraint.take(WORD).token_ids == [WORD]
        assert constraint.take(WORD).token_ids[0] == END_THINK


def test_thoughts_leave_room_for_the_answer():
    fewest = len(shortest_end(*PERSON))
    for max_new_tokens in range(fewest + 1, fewest + 6):
        constraint = constrain(PERSON, max_new_tokens, thinking=IS_OPEN, jumps=False)
        got: list[int] = []
        while not got or got[-1] != END_THINK:
            got += constraint.take(WORD).token_ids
        assert len(got) == max_new_tokens - fewest
        got += answer(constraint, max_new_tokens - len(got), random.Random(1))
        assert len(got) <= max_new_tokens
        assert start(*PERSON).ends_after(got[got.index(END_THINK) + 1 :])


def test_an_end_token_in_thoughts_ends_a_free_answer_only():
    assert free(IS_OPEN, 9).take(EOS) == Taken([EOS], is_end=True)
    constraint = constrain(PERSON, 100, thinking=IS_OPEN, jumps=False)
    assert constraint.take(EOS) == Taken([END_THINK])


def test_a_free_answer_is_free():
    constraint = free(MAY_THINK, 0)
    assert not constraint.needs_mask
    assert constraint.take(WORD) == Taken([WORD])
    assert constraint.take(THINK) == Taken([THINK]), "only the first token begins thoughts"
    assert constraint.take(WORD) == Taken([WORD])
    thoughtful = free(MAY_THINK, 0)
    thoughtful.take(THINK)
    assert thoughtful.take(WORD) == Taken([END_THINK])
    assert thoughtful.take(EOS) == Taken([EOS], is_end=True)


# -- Replay and roll-back -------------------------------------------------------------------------

SOME = ["flat object", "tree", "letters", "optional before required", "arithmetic", "pattern"]


@pytest.mark.parametrize("thinking", [None, IS_OPEN, MAY_THINK], ids=["plain", "open", "maybe"])
@pytest.mark.parametrize("name", SOME)
def test_a_replayed_answer_goes_on_as_it_would_have(name, thinking):
    grammar = GRAMMARS[name]
    for seed in range(2):
        rng = random.Random(seed)
        limit = len(shortest_end(*grammar)) + 20
        first = constrain(grammar, limit, thinking=thinking, max_thinking_tokens=5)
        token_ids = walk(first, rng, num_steps=4 + seed)
        if is_over(first):
            continue
        again = constrain(grammar, limit, thinking=thinking, max_thinking_tokens=5)
        again.replay(token_ids)
        assert again.needs_mask == first.needs_mask
        state = rng.getstate()
        rest = walk(first, rng, num_steps=limit)
        rng.setstate(state)
        assert walk(again, rng, num_steps=limit) == rest


def walk(constraint: Constraint, rng: random.Random, *, num_steps: int) -> list[int]:
    """Take some random tokens; stops where the answer ends or its length is used up."""
    token_ids: list[int] = []
    for _ in range(num_steps):
        if is_over(constraint):
            break
        legal_ids = legal(constraint) if constraint.needs_mask else [WORD, END_THINK]
        token_ids += constraint.take(rng.choice(legal_ids)).token_ids
    return token_ids


def is_over(constraint: Constraint) -> bool:
    return constraint._state.phase.name == "ENDED" or constraint._num_left <= 0


def test_a_replay_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match="does not fit"):
        constrain(PERSON, 100).replay(tokens_of("[1]"))


@pytest.mark.parametrize("thinking", [None, IS_OPEN, MAY_THINK], ids=["plain", "open", "maybe"])
@pytest.mark.parametrize("name", SOME)
def test_rolled_back_tokens_leave_no_trace(name, thinking):
    grammar = GRAMMARS[name]
    rng = random.Random(1)
    limit = len(shortest_end(*grammar)) + 20
    rolled = constrain(grammar, limit, thinking=thinking, max_thinking_tokens=3)
    stands = walk(rolled, rng, num_steps=4)
    for _ in range(4):
        if is_over(rolled):
            break
        taken_back = walk(rolled, rng, num_steps=rng.randrange(1, limit))
        rolled.roll_back(len(taken_back))
        fresh = constrain(grammar, limit, thinking=thinking, max_thinking_tokens=3)
        fresh.replay(stands)
        assert rolled._state == fresh._state
        assert not rolled.needs_mask or legal(rolled) == legal(fresh)
        stands += walk(rolled, rng, num_steps=2)


def test_half_of_a_jump_is_rolled_back():
    constraint = constrain(PERSON, 100)
    taken = constraint.take(tokens_of("{")[0])
    constraint.roll_back(taken.num_forced - 1)
    other = constrain(PERSON, 100, jumps=False)
    for token_id in taken.token_ids[:2]:
        other.take(token_id)
    assert legal(constraint) == legal(other)
    assert start(*PERSON).ends_after([*taken.token_ids[:2], *constraint._state.end])


def test_only_tokens_that_stood_are_rolled_back():
    constraint = constrain(("regex", "[a-z]*"), 2000)
    constraint.take(tokens_of("a")[0])
    with pytest.raises(ValueError, match="1 can be taken back"):
        constraint.roll_back(2)
    for _ in range(MAX_ROLL_BACK + 5):
        constraint.take(tokens_of("a")[0])
    constraint.roll_back(MAX_ROLL_BACK)
    assert constraint._num_left == 2000 - 6
