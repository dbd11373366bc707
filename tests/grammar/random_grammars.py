"""Random context-free grammars in SGLang's EBNF (``root ::= ...``), with a recogniser of our own.

A grammar is a mapping from names of rules to expressions. Each rule refers to itself or to an
earlier one only behind a character that is read first, so there is no left recursion; and each has
a way to its end through later rules alone, so every grammar has texts.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Rng = random.Random


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly this text."""

    text: str


@dataclass(frozen=True, slots=True)
class CharClass:
    """One character out of ranges, or out of all others."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """What the rule of this name stands for."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence_:
    """One after the other."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of them."""

    options: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """From ``least`` to ``most`` times; None is without end."""

    part: Expression
    least: int
    most: int | None


Expression = Literal | CharClass | Rule | Sequence_ | Choice | Repeat


@dataclass(frozen=True, slots=True)
class RandomGrammar:
    """A grammar; ``witness`` is one of its texts."""

    seed: int
    rules: Mapping[str, Expression]
    witness: str

    def __str__(self) -> str:
        return f"grammar {self.seed}"

    @property
    def text(self) -> str:
        """The grammar as it is asked for."""
        return "\n".join(f"{name} ::= {render(rule)}" for name, rule in self.rules.items())

    def accepts(self, text: str) -> bool:
        """Whether the whole text belongs to the grammar."""
        return len(text) in Recogniser(self.rules, text).ends(self.rules["root"], 0)


# ------------------------------------------------------------------------------------- as a text

ESCAPES = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def render(expression: Expression) -> str:
    """The expression in EBNF."""
    if isinstance(expression, Literal):
        return '"' + "".join(ESCAPES.get(char, char) for char in expression.text) + '"'
    if isinstance(expression, CharClass):
        ranges = (a if a == b else f"{a}-{b}" for a, b in expression.ranges)
        return f"[{'^' * expression.is_negated}{''.join(ranges)}]"
    if isinstance(expression, Rule):
        return expression.name
    if isinstance(expression, Sequence_):
        return " ".join(_grouped(part) for part in expression.parts) or '""'
    if isinstance(expression, Choice):
        return " | ".join(render(option) for option in expression.options)
    return _grouped(expression.part) + _render_count(expression)


def _grouped(expression: Expression) -> str:
    text = render(expression)
    return f"({text})" if isinstance(expression, Choice | Sequence_ | Repeat) else text


def _render_count(repeat: Repeat) -> str:
    marks = {(0, None): "*", (1, None): "+", (0, 1): "?"}
    if (repeat.least, repeat.most) in marks:
        return marks[repeat.least, repeat.most]
    if repeat.least == repeat.most:
        return f"{{{repeat.least}}}"
    return f"{{{repeat.least},{'' if repeat.most is None else repeat.most}}}"


# ----------------------------------------------------------------------------------- as a judge


class Recogniser:
    """Where parts of a text may end; remembers what it found for each place."""

    def __init__(self, rules: Mapping[str, Expression], text: str) -> None:
        self.rules = rules
        self.text = text
        self.known: dict[tuple[Expression, int], frozenset[int]] = {}

    def ends(self, expression: Expression, start: int) -> frozenset[int]:
        """The places at which ``expression`` may end when it begins at ``start``."""
        key = (expression, start)
        if key not in self.known:
            self.known[key] = self._find(expression, start)
        return self.known[key]

    def _find(self, expression: Expression, start: int) -> frozenset[int]:
        if isinstance(expression, Literal):
            fits = self.text.startswith(expression.text, start)
            return frozenset([start + len(expression.text)] if fits else [])
        if isinstance(expression, CharClass):
            return frozenset([start + 1] if self._is_in(expression, start) else [])
        if isinstance(expression, Rule):
            return self.ends(self.rules[expression.name], start)
        if isinstance(expression, Choice):
            return frozenset().union(*(self.ends(option, start) for option in expression.options))
        if isinstance(expression, Sequence_):
            return self._after_all(expression.parts, start)
        return self._after_repeats(expression, start)

    def _is_in(self, chars: CharClass, start: int) -> bool:
        if start >= len(self.text):
            return False
        found = any(low <= self.text[start] <= high for low, high in chars.ranges)
        return found != chars.is_negated

    def _after_all(self, parts: Sequence[Expression], start: int) -> frozenset[int]:
        places = frozenset([start])
        for part in parts:
            places = frozenset(end for place in places for end in self.ends(part, place))
        return places

    def _after_repeats(self, repeat: Repeat, start: int) -> frozenset[int]:
        """Layer by layer; without a limit until no new place is found."""
        places = self._after_all([repeat.part] * repeat.least, start)
        reached, num_more = places, 0
        while places and (repeat.most is None or repeat.least + num_more < repeat.most):
            places = frozenset(end for place in places for end in self.ends(repeat.part, place))
            places -= reached
            reached |= places
            num_more += 1
        return reached


# ------------------------------------------------------------------------------------- at random

WORDS = (
    "a",
    "b",
    "if ",
    "then",
    "(",
    ")",
    "[",
    "]",
    ",",
    ", ",
    '"',
    "\\",
    "\n",
    "é",
    "größe",
    "日",
)
WORDS += ("let x = ", ";", "{", "}", ": ", "yes", "no", "maybe", "+", "-", "<", ">", "🙂", "0")
CLASSES = [
    CharClass((("a", "z"),), False),
    CharClass((("0", "9"),), False),
    CharClass((("A", "Z"), ("a", "z"), ("_", "_")), False),
    CharClass((("a", "c"), ("x", "x")), False),
    CharClass(((" ", " "), ("\t", "\t")), False),
    CharClass((("ä", "ü"),), False),
    CharClass((('"', '"'), ("a", "m")), True),
]


def random_grammar(seed: int) -> RandomGrammar:
    """The grammar of a seed: two to six rules, some of them recursive."""
    rng = random.Random(f"grammar {seed}")
    names = ["root", "item", "expr", "value", "list-of", "word"][: rng.randint(2, 6)]
    rules: dict[str, Expression] = {}
    witnesses: dict[str, str] = {}
    for name in reversed(names):
        builder = GrammarBuilder(rng, names, witnesses)
        rules[name], witnesses[name] = builder.rule()
    ordered = {name: rules[name] for name in names}
    return RandomGrammar(seed, ordered, witnesses["root"])


class GrammarBuilder:
    """Draws one rule; ``later`` are the rules that are there already, with a text of each."""

    def __init__(self, rng: Rng, names: Sequence[str], later: Mapping[str, str]) -> None:
        self.rng = rng
        self.names = names
        self.later = later

    def rule(self) -> tuple[Expression, str]:
        """The rule's expression and one of its texts."""
        options = [self._sequence(0) for _ in range(self.rng.choice([1, 1, 2, 3]))]
        witness = self.rng.choice(options)[1]
        expressions = [expression for expression, _ in options]
        if self.rng.random() < 0.4:
            expressions.append(self._recursion())
        if len(expressions) == 1:
            return expressions[0], witness
        return Choice(tuple(expressions)), witness

    def _recursion(self) -> Expression:
        """Any rule at all, once something was read: ``"(" expr ")"``."""
        opening, closing = self.rng.choice([("(", ")"), ("[", "]"), ("- ", ""), ("a", "b")])
        parts: list[Expression] = [Literal(opening), Rule(self.rng.choice(list(self.names)))]
        return Sequence_((*parts, Literal(closing))) if closing else Sequence_(tuple(parts))

    def _sequence(self, depth: int) -> tuple[Expression, str]:
        parts = [self._part(depth) for _ in range(self.rng.randint(1, 4))]
        witness = "".join(text for _, text in parts)
        return Sequence_(tuple(part for part, _ in parts)), witness

    def _part(self, depth: int) -> tuple[Expression, str]:
        part, witness = self._atom(depth)
        if self.rng.random() < 0.65:
            return part, witness
        counts = [(0, None), (1, None), (0, 1), (2, 2), (1, 3), (2, None), (0, 4)]
        least, most = self.rng.choice(counts)
        times = self.rng.randint(least, least + 2 if most is None else most)
        return Repeat(part, least, most), witness * times

    def _atom(self, depth: int) -> tuple[Expression, str]:
        rng = self.rng
        kinds = [
            "word",
            "class",
            "rule" if self.later else "word",
            "group" if depth < 2 else "word",
        ]
        kind = rng.choices(kinds, [40, 25, 20, 15])[0]
        if kind == "word":
            word = rng.choice(WORDS)
            return Literal(word), word
        if kind == "rule":
            name = rng.choice(list(self.later))
            return Rule(name), self.later[name]
        if kind == "class":
            chars = rng.choice(CLASSES)
            return chars, "z" if chars.is_negated else chars.ranges[0][0]
        options = [self._sequence(depth + 1) for _ in range(rng.randint(1, 3))]
        return Choice(tuple(option for option, _ in options)), rng.choice(options)[1]
