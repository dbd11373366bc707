"""Which parts of a grammar may be lexemes of llguidance: those that its greedy lexer cuts rightly.

llguidance reads lexemes, each a regular expression and as long as possible, and parses those. An
EBNF grammar is over characters: in ``[a-z]+ "b"`` the greedy lexer would never give up a `b`. One
lexeme per character is always right, but slow. So as much as possible becomes one lexeme, and what
may be cut wrongly is split into its parts, until nothing may:

- lexemes are at the same *place* if the parser may wait for both at once;
- a lexeme A is cut wrongly where it could end, the next character begins what follows A, and some
  lexeme B of the same place could go on with it.

All sets are supersets, so that a split may be needless, but none is missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sglite.grammar.expressions import (
    Alt,
    Chars,
    Expression,
    Ranges,
    Ref,
    Repeat,
    Seq,
    merge,
    overlap,
    walk,
)


@dataclass(frozen=True, slots=True)
class Lexeme:
    """A regular part that the lexer reads at once."""

    body: Expression


Node = Lexeme | Expression
"""An expression whose regular parts are lexemes; Seq, Alt and Repeat hold nodes."""


@dataclass(slots=True)
class Ends:
    """What may stand where in the texts of a regular expression; supersets."""

    first: Ranges
    last_next: Ranges
    """Characters with which a complete text may go on."""
    inner: Ranges
    """Characters that may stand anywhere but at the beginning."""
    is_nullable: bool


def ends_of(expression: Expression) -> Ends:
    """First characters and the like, by the positions of Glushkov's automaton."""
    if isinstance(expression, Chars):
        return Ends(expression.ranges, (), (), False)
    if isinstance(expression, Seq):
        ends = Ends((), (), (), True)
        for part in expression.parts:
            ends = _then(ends, ends_of(part))
        return ends
    if isinstance(expression, Alt):
        options = [ends_of(option) for option in expression.options]
        return Ends(
            merge([r for o in options for r in o.first]),
            merge([r for o in options for r in o.last_next]),
            merge([r for o in options for r in o.inner]),
            any(o.is_nullable for o in options),
        )
    if isinstance(expression, Repeat):
        body = ends_of(expression.body)
        if expression.most == 1:
            return Ends(body.first, body.last_next, body.inner, not expression.least)
        again = merge([*body.last_next, *body.first])
        inner = merge([*body.inner, *body.first])
        return Ends(body.first, again, inner, body.is_nullable or not expression.least)
    raise TypeError(f"{expression} is not regular")


def _then(before: Ends, after: Ends) -> Ends:
    """One part and the next. A text of both may go on as the first one where the next is empty."""
    return Ends(
        first=merge([*before.first, *after.first]) if before.is_nullable else before.first,
        last_next=(
            merge([*after.last_next, *before.last_next, *after.first])
            if after.is_nullable
            else after.last_next
        ),
        inner=merge([*before.inner, *after.inner, *(after.first if before.first else ())]),
        is_nullable=before.is_nullable and after.is_nullable,
    )


def is_regular(expression: Expression) -> bool:
    """Whether the expression has no references to rules."""
    return not any(isinstance(node, Ref) for node in walk(expression))


def cut_into_lexemes(rules: Mapping[str, Expression], root: str) -> dict[str, Node]:
    """The rules over lexemes that a greedy lexer cuts rightly."""
    split: set[Expression] = set()
    while True:
        nodes = {name: _build(expression, split) for name, expression in rules.items()}
        wrong = _Places(nodes, root).find_wrong_cuts()
        if not wrong:
            return nodes
        split |= wrong


def _build(expression: Expression, split: set[Expression]) -> Node:
    if isinstance(expression, Ref):
        return expression
    if expression not in split and is_regular(expression):
        return Lexeme(expression)
    if isinstance(expression, Repeat):
        return Repeat(_build(expression.body, split), expression.least, expression.most)  # type: ignore[arg-type]
    kind = Seq if isinstance(expression, Seq) else Alt
    parts = expression.parts if isinstance(expression, Seq) else expression.options  # type: ignore[union-attr]
    nodes: list[Node] = []
    for group in _runs_of_regular(parts, kind, is_whole_split=expression in split):
        nodes.append(_build(group, split))
    return kind(tuple(nodes))  # type: ignore[arg-type]


def _runs_of_regular(
    parts: tuple[Expression, ...], kind: type[Seq] | type[Alt], *, is_whole_split: bool
) -> list[Expression]:
    """Neighbours that are regular as one part, unless the whole has been split."""
    if is_whole_split:
        return list(parts)
    runs: list[list[Expression]] = []
    for part in parts:
        if runs and is_regular(part) and is_regular(runs[-1][0]):
            runs[-1].append(part)
        else:
            runs.append([part])
    return [run[0] if len(run) == 1 else kind(tuple(run)) for run in runs]


@dataclass(slots=True)
class _Symbols:
    """What a node may begin with, and whether it may be empty."""

    first: set[Expression] = field(default_factory=set)
    is_nullable: bool = False


class _Places:
    """Which lexemes may be waited for together, and what may follow each."""

    def __init__(self, nodes: Mapping[str, Node], root: str) -> None:
        self._nodes = nodes
        self._root = root
        self._rules = {name: _Symbols() for name in nodes}
        self._rule_follow: dict[str, set[Expression]] = {name: set() for name in nodes}
        self._follow: dict[Expression, set[Expression]] = {}
        self._ends: dict[Expression, Ends] = {}
        self._solve()

    def find_wrong_cuts(self) -> set[Expression]:
        """Lexemes that have to be split."""
        wrong = set()
        for first, second in self._neighbours():
            for ending, going_on in ((first, second), (second, first)):
                if self._is_cut_wrongly(ending, going_on):
                    wrong.add(going_on)
        return wrong

    def _is_cut_wrongly(self, ending: Expression, going_on: Expression) -> bool:
        following = merge(r for e in self._follow[ending] for r in self._ends[e].first)
        if ending == going_on:
            return overlap(self._ends[ending].last_next, following)
        is_shared = overlap(self._ends[ending].first, self._ends[going_on].first)
        return is_shared and overlap(self._ends[going_on].inner, following)

    def _neighbours(self) -> set[tuple[Expression, Expression]]:
        """Pairs of lexemes at the same place, each with itself too."""
        pairs: set[tuple[Expression, Expression]] = set()
        start = self._start()
        pending = [(a, b) for a in start for b in start]
        pending += [(lexeme, lexeme) for lexeme in self._follow]
        while pending:
            pair = pending.pop()
            if pair in pairs or (pair[1], pair[0]) in pairs:
                continue
            pairs.add(pair)
            first, second = pair
            ends = self._ends
            if first == second or overlap(ends[first].first, ends[second].first):
                pending.extend((a, b) for a in self._follow[first] for b in self._follow[second])
        return pairs

    def _start(self) -> set[Expression]:
        return self._rules[self._root].first

    def _solve(self) -> None:
        """First sets, then what follows, each until nothing changes."""
        while any(self._update_rule(name) for name in self._nodes):
            pass
        size = -1
        while size != self._size():
            size = self._size()
            for name, node in self._nodes.items():
                self._visit(node, self._rule_follow[name])

    def _size(self) -> int:
        sets = [*self._rule_follow.values(), *self._follow.values()]
        return sum(map(len, sets))

    def _update_rule(self, name: str) -> bool:
        known = self._rules[name]
        found = self._symbols(self._nodes[name])
        has_changed = found.first != known.first or found.is_nullable != known.is_nullable
        self._rules[name] = found
        return has_changed

    def _symbols(self, node: Node) -> _Symbols:
        if isinstance(node, Lexeme):
            ends = self._ends.setdefault(node.body, ends_of(node.body))
            return _Symbols({node.body}, ends.is_nullable)
        if isinstance(node, Ref):
            return self._rules[node.name]
        if isinstance(node, Repeat):
            body = self._symbols(node.body)
            return _Symbols(body.first, body.is_nullable or not node.least)
        if isinstance(node, Alt):
            options = [self._symbols(option) for option in node.options]
            first = set[Expression]().union(*(o.first for o in options))
            return _Symbols(first, any(o.is_nullable for o in options))
        symbols = _Symbols(set(), True)
        for part in node.parts if isinstance(node, Seq) else ():
            found = self._symbols(part)
            symbols = _Symbols(symbols.first | found.first, found.is_nullable)
            if not found.is_nullable:
                break
        return symbols

    def _visit(self, node: Node, follow: set[Expression]) -> set[Expression]:
        """Note what follows each lexeme and rule of a node; what a text from it on begins with."""
        if isinstance(node, Lexeme):
            self._follow.setdefault(node.body, set()).update(follow)
        elif isinstance(node, Ref):
            self._rule_follow[node.name] |= follow
        elif isinstance(node, Repeat):
            again = self._symbols(node.body).first if node.most != 1 else set[Expression]()
            self._visit(node.body, follow | again)
        elif isinstance(node, Alt):
            for option in node.options:
                self._visit(option, follow)
        elif isinstance(node, Seq):
            rest = follow
            for part in reversed(node.parts):
                rest = self._visit(part, rest)
            return rest
        symbols = self._symbols(node)
        return symbols.first | follow if symbols.is_nullable else set(symbols.first)
