r"""SGLang's EBNF (that of xgrammar and llama.cpp) as rules over expressions.

    root  ::= "yes" | "no" | list     # a comment
    list  ::= "[" item ("," item)* "]"
    item  ::= [a-z]{1,8} | [^\x00-\x7f] | .

A rule goes on until the next ``name ::=``. Escapes are those of JSON and ``\x41``, ``\U0001F600``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from sglite.errors import RequestError
from sglite.grammar.expressions import (
    EMPTY,
    Alt,
    Chars,
    Expression,
    Ref,
    Repeat,
    Seq,
    complement,
    literal,
    merge,
    walk,
)
from sglite.grammar.limits import MAX_EBNF_BYTES, MAX_GROUP_DEPTH, check_repeats, check_size

Rules = dict[str, Expression]
"""The right side of each rule; the text is what ``root`` produces."""

ROOT = "root"
PARAM = "ebnf"
SIGNS = {"*": (0, None), "+": (1, None), "?": (0, 1)}
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
LINE_BREAK = ((10, 10),)


class _Lexeme(NamedTuple):
    """``kind`` is `name`, `defined`, `text`, `chars`, `repeat` or the sign itself."""

    kind: str
    value: object
    position: int


def parse_ebnf(text: str) -> Rules:
    """The rules that ``root`` needs, without parts that never come to an end.

    Raises RequestError where the text is no grammar, a rule is not defined, or no text fits.
    """
    check_size(text, MAX_EBNF_BYTES, PARAM)
    rules = _Parser(text, _Scanner(text).scan()).parse()
    if ROOT not in rules:
        raise RequestError("ebnf has no rule named root: root ::= ...", param=PARAM)
    for name, expression in rules.items():
        _check_rule(rules, name, expression)
    return _without_dead_ends(rules)


def _check_rule(rules: Rules, name: str, expression: Expression) -> None:
    for node in walk(expression):
        if isinstance(node, Ref) and node.name not in rules:
            raise RequestError(
                f"ebnf uses the rule {node.name} in {name}, but does not define it", param=PARAM
            )
    check_repeats(expression, PARAM)


def _without_dead_ends(rules: Rules) -> Rules:
    """The rules that can be reached from the root, without options that produce no text."""
    ending: set[str] = set()
    while True:
        found = {n for n, e in rules.items() if n not in ending and _ends(e, ending)}
        if not found:
            break
        ending |= found
    if ROOT not in ending:
        raise RequestError("ebnf cannot be fulfilled: its root never comes to an end", param=PARAM)
    kept: Rules = {}
    pending = [ROOT]
    while pending:
        name = pending.pop()
        if name not in kept:
            kept[name] = _pruned(rules[name], ending)
            pending.extend(node.name for node in walk(kept[name]) if isinstance(node, Ref))
    return kept


def _ends(expression: Expression, ending: set[str]) -> bool:
    """Whether the expression produces a text, if those rules do."""
    if isinstance(expression, Chars):
        return bool(expression.ranges)
    if isinstance(expression, Seq):
        return all(_ends(part, ending) for part in expression.parts)
    if isinstance(expression, Alt):
        return any(_ends(option, ending) for option in expression.options)
    if isinstance(expression, Repeat):
        return expression.least == 0 or _ends(expression.body, ending)
    return expression.name in ending


def _pruned(expression: Expression, ending: set[str]) -> Expression:
    if isinstance(expression, Seq):
        return Seq(tuple(_pruned(part, ending) for part in expression.parts))
    if isinstance(expression, Alt):
        options = [o for o in expression.options if _ends(o, ending)]
        return Alt(tuple(_pruned(option, ending) for option in options))
    if isinstance(expression, Repeat):
        if not _ends(expression.body, ending):
            return EMPTY
        return Repeat(_pruned(expression.body, ending), expression.least, expression.most)
    return expression


class _Scanner:
    """Cuts the text into lexemes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def scan(self) -> list[_Lexeme]:
        """All lexemes; comments and white space are none."""
        lexemes = []
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            elif char.isspace():
                self._at += 1
            else:
                lexemes.append(self._lexeme(char, self._at))
        return lexemes

    def _lexeme(self, char: str, start: int) -> _Lexeme:
        if char == '"':
            return _Lexeme("text", self._quoted(), start)
        if char == "[":
            return _Lexeme("chars", self._char_class(), start)
        if char == "{":
            return _Lexeme("repeat", self._bounds(), start)
        if char in SIGNS:
            self._at += 1
            return _Lexeme("repeat", SIGNS[char], start)
        if self._text.startswith("::=", start):
            self._at += 3
            return _Lexeme("defined", None, start)
        if char in "()|.":
            self._at += 1
            return _Lexeme(char, None, start)
        while self._at < len(self._text) and _is_name_char(self._text[self._at]):
            self._at += 1
        if self._at == start:
            hint = "; a rule is written as name ::= ..." if char in "=:" else ""
            fail(self._text, start, f"{char!r} is not expected{hint}")
        return _Lexeme("name", self._text[start : self._at], start)

    def _quoted(self) -> str:
        start = self._at
        self._at += 1
        chars = []
        while self._peek(start) != '"':
            chars.append(self._char(start))
        self._at += 1
        return "".join(chars)

    def _char_class(self) -> Chars:
        start = self._at
        self._at += 1
        is_negated = self._peek(start) == "^"
        self._at += is_negated
        ranges = []
        while self._peek(start) != "]":
            low = high = ord(self._char(start))
            if self._peek(start) == "-" and self._text[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                high = ord(self._char(start))
            if high < low:
                fail(self._text, start, "a range of characters goes backwards")
            ranges.append((low, high))
        self._at += 1
        merged = merge(ranges)
        return Chars(complement(merged) if is_negated else merged)

    def _char(self, start: int) -> str:
        char = self._peek(start)
        self._at += 1
        if char != "\\":
            return char
        char = self._peek(start)
        self._at += 1
        if char in HEX_DIGITS:
            return self._hex_char(HEX_DIGITS[char])
        if char.isalnum() and char not in ESCAPES:
            fail(self._text, self._at - 2, rf"the escape \{char} is unknown")
        return ESCAPES.get(char, char)

    def _hex_char(self, num_digits: int) -> str:
        digits = self._text[self._at : self._at + num_digits]
        self._at += num_digits
        try:
            code = int(digits, 16)
            is_valid = len(digits) == num_digits and not 0xD800 <= code <= 0xDFFF
            return chr(code) if is_valid else fail(self._text, self._at, "a bad escape")
        except (ValueError, OverflowError):
            fail(self._text, self._at - num_digits, f"{digits!r} is no code point")

    def _bounds(self) -> tuple[int, int | None]:
        start = self._at
        end = self._text.find("}", start)
        inner = self._text[start + 1 : end] if end >= 0 else ""
        self._at = end + 1
        first, comma, last = (part.strip() for part in inner.partition(","))
        if not _is_number(first) or not (_is_number(last) or not last):
            fail(self._text, start, "a repeat has to be {m}, {m,} or {m,n}")
        least = int(first)
        most = (int(last) if last else None) if comma else least
        if most is not None and most < least:
            fail(self._text, start, "a repeat goes backwards")
        return least, most

    def _peek(self, start: int) -> str:
        if self._at >= len(self._text):
            fail(self._text, start, "a text or a class of characters has no end")
        return self._text[self._at]


class _Parser:
    """Lexemes to rules, by recursive descent; groups are at most MAX_GROUP_DEPTH deep."""

    def __init__(self, text: str, lexemes: list[_Lexeme]) -> None:
        self._text = text
        self._lexemes = [*lexemes, _Lexeme("end", None, len(text))]
        self._at = 0

    def parse(self) -> Rules:
        """All rules; one that is defined twice is refused."""
        rules: Rules = {}
        while self._kind() != "end":
            name = self._take("name")
            self._take("defined")
            if str(name.value) in rules:
                fail(self._text, name.position, f"the rule {name.value} is defined twice")
            rules[str(name.value)] = self._options(0)
        return rules

    def _options(self, depth: int) -> Expression:
        options = [self._sequence(depth)]
        while self._kind() == "|":
            self._at += 1
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else Alt(tuple(options))

    def _sequence(self, depth: int) -> Expression:
        parts = []
        while self._kind() in ("name", "text", "chars", ".", "("):
            if self._kind() == "name" and self._kind(1) == "defined":
                break
            part = self._part(depth)
            while self._kind() == "repeat":
                bounds: Any = self._take("repeat").value
                part = Repeat(part, *bounds)
            parts.append(part)
        return parts[0] if len(parts) == 1 else Seq(tuple(parts))

    def _part(self, depth: int) -> Expression:
        lexeme = self._lexemes[self._at]
        self._at += 1
        if isinstance(lexeme.value, Chars):
            return lexeme.value
        if lexeme.kind == "text":
            return literal(str(lexeme.value))
        if lexeme.kind == ".":
            return Chars(complement(LINE_BREAK))
        if lexeme.kind == "name":
            return Ref(str(lexeme.value))
        if depth >= MAX_GROUP_DEPTH:
            fail(self._text, lexeme.position, f"groups are more than {MAX_GROUP_DEPTH} deep")
        inner = self._options(depth + 1)
        self._take(")")
        return inner

    def _kind(self, ahead: int = 0) -> str:
        index = min(self._at + ahead, len(self._lexemes) - 1)
        return self._lexemes[index].kind

    def _take(self, kind: str) -> _Lexeme:
        lexeme = self._lexemes[self._at]
        if lexeme.kind != kind:
            wanted = {"name": "the name of a rule", "defined": "::="}.get(kind, kind)
            fail(self._text, lexeme.position, f"{wanted} is expected")
        self._at += 1
        return lexeme


def fail(text: str, position: int, what: str) -> NoReturn:
    """Refuse the grammar, with the line."""
    line = text.count("\n", 0, position) + 1
    raise RequestError(f"ebnf, line {line}: {what}", param=PARAM)


def _is_name_char(char: str) -> bool:
    return char.isalnum() or char in "_-"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9
