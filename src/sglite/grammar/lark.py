"""Grammars in llguidance's dialect of Lark: EBNF rules and structural tags."""

from __future__ import annotations

import json

from sglite.errors import RequestError
from sglite.grammar.ebnf_parser import ROOT, Rules
from sglite.grammar.expressions import (
    EMPTY,
    Alt,
    Chars,
    Expression,
    Ref,
    Repeat,
    Seq,
    bounds,
    literal,
    map_refs,
    merge,
    overlap,
    rust_regex,
    walk,
)
from sglite.grammar.lexemes import Lexeme, Node, cut_into_lexemes, ends_of, is_regular
from sglite.grammar.structural_tag import (
    AnyText,
    Format,
    JsonContent,
    Options,
    Regular,
    SeparatedTags,
    Sequence,
    Tag,
    TriggeredTags,
)

MAX_INLINED = 2_000
"""Parts of a rule that is put in the place of its name; larger ones keep a rule of their own."""

JSON_STARTS = merge((ord(c), ord(c)) for c in '{["-0123456789tfn')
TEXT = "/(?s:.)*/"


def lark_of_ebnf(rules: Rules) -> str:
    """The grammar of :func:`sglite.grammar.ebnf_parser.parse_ebnf` in Lark."""
    inlined = _inline({name: _loop_instead(name, rule) for name, rule in rules.items()})
    cut = cut_into_lexemes(inlined, ROOT)
    names = {name: f"r{index}" for index, name in enumerate(cut)}
    lines = [f"start: {names[ROOT]}"]
    lines += [f"{names[name]}: {_lark(node, names)}" for name, node in cut.items()]
    return "\n".join(lines) + "\n"


def _loop_instead(name: str, expression: Expression) -> Expression:
    """``a ::= x a | y`` as ``x* y``: people write loops so, and a loop is regular."""
    options = expression.options if isinstance(expression, Alt) else (expression,)
    looped: list[tuple[Expression, ...]] = []
    others: list[tuple[Expression, ...]] = []
    for option in options:
        parts = option.parts if isinstance(option, Seq) else (option,)
        is_looped = len(parts) > 1 and parts[-1] == Ref(name)
        (looped if is_looped else others).append(parts[:-1] if is_looped else parts)
    bodies = [Seq(parts) for parts in looped]
    uses = [node for part in (*bodies, *map(Seq, others)) for node in walk(part)]
    if not looped or not others or Ref(name) in uses:
        return expression
    loop = Repeat(Alt(tuple(bodies)) if len(bodies) > 1 else bodies[0], 0, None)
    return Seq((loop, Alt(tuple(Seq(parts) for parts in others))))


def _inline(rules: Rules) -> Rules:
    """Put rules without references in the place of their names, until none is left."""
    known = dict(rules)
    regular: Rules = {}
    while True:
        found = {n: e for n, e in known.items() if n not in regular and is_regular(e)}
        small = {n: e for n, e in found.items() if sum(1 for _ in walk(e)) <= MAX_INLINED}
        regular |= found
        if not small:
            break
        known = {n: e if n in regular else _replaced(e, small) for n, e in known.items()}
    used = {ROOT}
    used |= {node.name for e in known.values() for node in walk(e) if isinstance(node, Ref)}
    return {name: e for name, e in known.items() if name in used}


def _replaced(expression: Expression, rules: Rules) -> Expression:
    return map_refs(expression, lambda ref: rules.get(ref.name, ref))


def _lark(node: Node, names: dict[str, str]) -> str:
    if isinstance(node, Lexeme):
        return '""' if node.body == EMPTY else f"/{rust_regex(node.body)}/"
    if isinstance(node, Ref):
        return names[node.name]
    if isinstance(node, Seq):
        return " ".join(_lark(part, names) for part in node.parts) or '""'
    if isinstance(node, Alt):
        return "(" + " | ".join(_lark(option, names) for option in node.options) + ")"
    if isinstance(node, Repeat):
        return f"({_lark(node.body, names)}){bounds(node)}"
    raise TypeError(f"{node} is outside of a lexeme")


def lark_of_tags(tags: Format) -> str:
    """A structural tag in Lark. Raises RequestError where it can not be told apart greedily."""
    writer = _TagWriter()
    start = writer.write(tags)
    return "\n".join([f"start: {start}", *writer.lines]) + "\n"


class _TagWriter:
    """Collects rules; ``write`` gives what stands for a format on the right of a rule."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, part: Format) -> str:
        """What stands for a format; its rules are added."""
        if isinstance(part, (Sequence, Tag)):
            return self._sequence(_flat(part))
        if isinstance(part, Options):
            return "(" + " | ".join(self.write(option) for option in part.options) + ")"
        if isinstance(part, TriggeredTags):
            return self._triggered(part)
        if isinstance(part, SeparatedTags):
            return self._separated(part)
        return self._sequence([part])

    def _sequence(self, parts: list[Format]) -> str:
        """Neighbours that are regular are one lexeme, so that nothing between them is greedy."""
        written: list[str] = []
        run: list[Expression] = []
        for index, part in enumerate(parts):
            if isinstance(part, Regular):
                run.append(part.expression)
                continue
            written.extend(self._flush(run, part))
            run = []
            if isinstance(part, AnyText):
                following = parts[index + 1] if index + 1 < len(parts) else None
                written.append(self._any_text(following))
                if following is not None:
                    parts[index + 1] = Regular(EMPTY)
            elif isinstance(part, JsonContent):
                written.append(f"%json {json.dumps(part.schema)}")
            else:
                _check_end(part, parts[index + 1] if index + 1 < len(parts) else None)
                written.append(self.write(part))
        return " ".join([*written, *self._flush(run, None)]) or '""'

    def _flush(self, run: list[Expression], following: Format | None) -> list[str]:
        """The lexeme of a run. It must not be able to go on into what follows."""
        if not run or all(part == EMPTY for part in run):
            return []
        whole = Seq(tuple(run))
        starts = JSON_STARTS if isinstance(following, JsonContent) else ()
        anything = following is not None and not isinstance(following, JsonContent)
        last_next = ends_of(whole).last_next
        if overlap(last_next, starts) or (anything and last_next):
            raise _refusal(
                "has a regex that could go on into what follows it; end it with a const_string"
            )
        return [f"/{rust_regex(whole)}/"]

    def _any_text(self, following: Format | None) -> str:
        """Any text, up to the first occurrence of the text that follows it."""
        if following is None:
            return TEXT
        end = _literal_text(following)
        if not end:
            raise _refusal("has any_text before something that is no plain text")
        return self._lazy(end)

    def _lazy(self, end: str) -> str:
        name = f"until{len(self.lines)}"
        self.lines.append(f"{name}[lazy]: {TEXT} /{rust_regex(literal(end))}/")
        return name

    def _triggered(self, part: TriggeredTags) -> str:
        tags = " | ".join(self.write(tag) for tag in part.tags)
        triggered = " | ".join(
            f"{self._lazy(trigger)} ({self._after_trigger(part, trigger)})"
            for trigger in part.triggers
            if any(_begins_with(tag, trigger) for tag in part.tags)
        )
        if part.stop_after_first:
            return f"({tags})" if part.at_least_one else f"({triggered} | {TEXT})"
        first = f"({tags}) " if part.at_least_one else ""
        return f"{first}({triggered})* {TEXT}"

    def _after_trigger(self, part: TriggeredTags, trigger: str) -> str:
        rests = (_without_prefix(t, trigger) for t in part.tags if _begins_with(t, trigger))
        return " | ".join(self.write(rest) for rest in rests)

    def _separated(self, part: SeparatedTags) -> str:
        name = f"tags{len(self.lines)}"
        self.lines.append(f"{name}: " + " | ".join(self.write(tag) for tag in part.tags))
        separator = f"/{rust_regex(literal(part.separator))}/ " if part.separator else ""
        several = name if part.stop_after_first else f"{name} ({separator}{name})*"
        return f"({several})" if part.at_least_one else f"({several})?"


def _flat(part: Format) -> list[Format]:
    """The parts of nested sequences, one after the other."""
    if isinstance(part, Sequence):
        return [leaf for element in part.elements for leaf in _flat(element)]
    if isinstance(part, Tag):
        ends = Options(tuple(Regular(literal(end)) for end in part.ends))
        end = ends.options[0] if len(part.ends) == 1 else ends
        return [Regular(literal(part.begin)), *_flat(part.content), end]
    if isinstance(part, Options) and all(isinstance(option, Regular) for option in part.options):
        options = (o.expression for o in part.options if isinstance(o, Regular))
        return [Regular(Alt(tuple(options)))]
    return [part]


def _check_end(part: Format, following: Format | None) -> None:
    """Refuse a part that is read too far: one that may go on with what follows it."""
    if following is None or isinstance(part, JsonContent):
        return
    if isinstance(part, Options):
        for option in part.options:
            _check_end(option, following)
    elif isinstance(part, (Sequence, Tag)):
        _check_end(_flat(part)[-1], following)
    elif isinstance(part, SeparatedTags):
        for tag in part.tags:
            _check_end(tag, following)
    elif isinstance(part, Regular):
        last_next = ends_of(part.expression).last_next
        is_told = isinstance(following, Regular) and not overlap(
            last_next, ends_of(following.expression).first
        )
        if last_next and not is_told:
            raise _refusal("has a regex that could go on into what follows it")
    elif not isinstance(part, TriggeredTags) or not part.at_least_one or not part.stop_after_first:
        raise _refusal("has any text before something that is no plain text")


def _literal_text(part: Format) -> str | None:
    """The text of a format that is one plain text."""
    if not isinstance(part, Regular):
        return None
    nodes = part.expression.parts if isinstance(part.expression, Seq) else (part.expression,)
    chars = []
    for node in nodes:
        is_char = isinstance(node, Chars) and len(node.ranges) == 1
        if not is_char or node.ranges[0][0] != node.ranges[0][1]:  # type: ignore[union-attr]
            return None
        chars.append(chr(node.ranges[0][0]))  # type: ignore[union-attr]
    return "".join(chars)


def _begins_with(tag: Tag, trigger: str) -> bool:
    return tag.begin.startswith(trigger)


def _without_prefix(tag: Tag, prefix: str) -> Tag:
    return Tag(tag.begin[len(prefix) :], tag.content, tag.ends)


def _refusal(what: str) -> RequestError:
    return RequestError(f"structural_tag {what}", param="structural_tag")
