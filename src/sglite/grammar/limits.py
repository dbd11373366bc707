"""What a grammar may ask for at most: cheap checks before any library sees its text (R13).

They bound what a library has to build; how long it takes is bounded by the process that compiles
it. Each raises RequestError with one message: what, the value, the limit, what to do.
"""

from __future__ import annotations

import json
from typing import Any

from sglite.errors import RequestError
from sglite.grammar.expressions import Expression, Repeat, children

MAX_SCHEMA_BYTES = 64 * 1024
MAX_SCHEMA_DEPTH = 32
MAX_SCHEMA_NODES = 5_000
MAX_REGEX_BYTES = 4 * 1024
MAX_GROUP_DEPTH = 32
MAX_NESTED_REPEATS = 1_024
"""Product of the bounds of repeats that stand in each other; one alone may go to MAX_REPEAT.

``(a{32}){32}`` is allowed, ``(a{1000}){1000}`` is not: its automaton has a million states.
"""
MAX_REPEAT = 10_000
MAX_EBNF_BYTES = 64 * 1024
MAX_CHOICES = 1_000
MAX_CHOICE_BYTES = 64 * 1024


def parse_json(text: str, param: str, *, what: str) -> Any:
    """The JSON text of a schema, a list of choices or a structural tag."""
    check_size(text, MAX_SCHEMA_BYTES, param)
    _check_depth(text, param)
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{param} is no JSON text of {what}: {error}", param=param) from error
    num_nodes = _num_nodes(parsed)
    if num_nodes > MAX_SCHEMA_NODES:
        raise RequestError(
            f"{param} has {num_nodes} values; at most {MAX_SCHEMA_NODES} are possible: split it",
            param=param,
        )
    return parsed


def check_size(text: str, max_bytes: int, param: str) -> None:
    """Refuse a text that is empty of sense for its size, or that UTF-8 cannot express."""
    try:
        num_bytes = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{param} has a lone surrogate at character {error.start}, which is no valid Unicode",
            param=param,
        ) from error
    if num_bytes > max_bytes:
        raise RequestError(
            f"{param} is {num_bytes} bytes long; at most {max_bytes} are possible: make it smaller",
            param=param,
        )


def check_regex_size(pattern: str, param: str) -> None:
    """Refuse a pattern that is too long, or whose groups are nested too deeply to be parsed."""
    check_size(pattern, MAX_REGEX_BYTES, param)
    depth = deepest = 0
    escaped = False
    for char in pattern:
        if not escaped and char in "()":
            depth += 1 if char == "(" else -1
            deepest = max(deepest, depth)
        escaped = char == "\\" and not escaped
    _check_group_depth(deepest, param)


def check_repeats(expression: Expression, param: str) -> None:
    """Refuse repeats whose automaton would be too large."""
    stack = [(expression, 1, 1)]
    while stack:
        node, product, depth = stack.pop()
        _check_group_depth(depth // 4, param)
        if isinstance(node, Repeat):
            bound = max(node.least, node.most or 0, 1)
            _check_bound(bound, product, param)
            product *= bound
        stack.extend((child, product, depth + 1) for child in children(node))


def _check_bound(bound: int, product: int, param: str) -> None:
    if bound > MAX_REPEAT:
        raise RequestError(
            f"{param} repeats something {bound} times; at most {MAX_REPEAT} are possible",
            param=param,
        )
    if product > 1 and bound > 1 and product * bound > MAX_NESTED_REPEATS:
        raise RequestError(
            f"{param} has repeats within repeats that come to {product * bound} times; at most "
            f"{MAX_NESTED_REPEATS} are possible: use smaller bounds, or * and +",
            param=param,
        )


def _check_group_depth(depth: int, param: str) -> None:
    if depth > MAX_GROUP_DEPTH:
        raise RequestError(
            f"{param} nests groups {depth} deep; at most {MAX_GROUP_DEPTH} are possible",
            param=param,
        )


def _check_depth(text: str, param: str) -> None:
    """Brackets outside of strings, so that the JSON parser never recurses far."""
    depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            in_string = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        if depth > MAX_SCHEMA_DEPTH:
            raise RequestError(
                f"{param} is nested more than {MAX_SCHEMA_DEPTH} deep: make it flatter, for "
                "example with $defs and $ref",
                param=param,
            )


def _num_nodes(value: Any) -> int:
    stack, count = [value], 0
    while stack:
        node = stack.pop()
        count += 1
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return count


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
