"""Random regular expressions, from seeds, each with a text that it matches as a whole.

They keep to what has one meaning in every dialect of automata: no look-around, back-references or
flags. Their meaning is that of Python's ``re``.
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

Rng = random.Random


class RandomRegex(NamedTuple):
    """A pattern and a text that ``re.fullmatch`` accepts."""

    seed: int
    pattern: str
    witness: str

    def __str__(self) -> str:
        return f"regex {self.seed}"


CLASSES = [
    ("[a-z]", "q"),
    ("[A-Z0-9]", "7"),
    ("[abc]", "b"),
    ("[^abc]", "x"),
    ("[^\\n]", "é"),
    ("[a-fA-F0-9]", "E"),
    ("[\\w.-]", "-"),
    ("[^\\s]", "s"),
    ("[\\d_]", "_"),
    ("[-+*/]", "+"),
    ("[\\]\\[^]", "^"),
    ("[äöüß]", "ü"),
    ("[α-ω]", "λ"),
    ("[\\u4e00-\\u4e10]", "\u4e03"),
    ("[\\x20-\\x7e]", "~"),
    ("[^\\W\\d]", "k"),
    ("\\d", "4"),
    ("\\w", "w"),
    ("\\s", " "),
    ("\\D", "d"),
    ("\\W", "!"),
    ("\\S", "$"),
    (".", "z"),
]
LITERALS = [
    *[(word, word) for word in ("a", "b", "foo", "id", "GET", "x", "-", ":", "/", "@", " ", '"')],
    *[(word, word) for word in ("é", "größe", "日本", "🙂", "0", "42", "<b>", "#", "&", "'")],
    *[("\\" + mark, mark) for mark in ".+*?()[]{}|^$\\/-"],
    ("\\n", "\n"),
    ("\\t", "\t"),
    ("\\x41", "A"),
    ("\\u00e9", "é"),
]
REPEATS = [("*", 0, 3), ("+", 1, 3), ("?", 0, 1), ("*?", 0, 2), ("+?", 1, 2), ("??", 0, 1)]


def random_regex(seed: int) -> RandomRegex:
    """The pattern of a seed."""
    rng = random.Random(f"regex {seed}")
    pattern, witness = _alternation(rng, 0)
    if rng.random() < 0.15 and "|" not in pattern:
        pattern = rng.choice(["^{}$", "^{}", "{}$"]).replace("{}", pattern)
    assert re.fullmatch(pattern, witness), (pattern, witness)
    return RandomRegex(seed, pattern, witness)


def _alternation(rng: Rng, depth: int) -> tuple[str, str]:
    branches = [_sequence(rng, depth) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    if rng.random() < 0.04:
        branches.append(("", ""))
    return "|".join(pattern for pattern, _ in branches), rng.choice(branches)[1]


def _sequence(rng: Rng, depth: int) -> tuple[str, str]:
    parts = [_repeated(rng, depth) for _ in range(rng.randint(1, 4))]
    return "".join(pattern for pattern, _ in parts), "".join(witness for _, witness in parts)


def _repeated(rng: Rng, depth: int) -> tuple[str, str]:
    """An atom, perhaps several times."""
    pattern, witness = _atom(rng, depth)
    if rng.random() < 0.6:
        return pattern, witness
    if rng.random() < 0.6:
        mark, least, most = rng.choice(REPEATS)
    else:
        # Counts multiply when they are nested, and a server refuses products beyond a thousand.
        is_group = pattern.startswith("(")
        least = rng.choice([0, 1, 2, 3] if is_group else [0, 1, 2, 3, 8])
        most = least + rng.choice([0, 1, 2] if is_group else [0, 1, 4, 20])
        mark = rng.choice([f"{{{least},{most}}}", f"{{{least},}}", f"{{{most}}}"])
        least = most if "," not in mark else least
        most = min(most, least + 2)
    if len(pattern) > 1 and not _is_one_atom(pattern):
        pattern = f"(?:{pattern})"
    return pattern + mark, witness * rng.randint(least, most)


def _is_one_atom(pattern: str) -> bool:
    """A class, a group or an escape: what a repeat takes as one thing."""
    return pattern[0] in "[(" or (pattern[0] == "\\" and len(pattern) <= 6)


def _atom(rng: Rng, depth: int) -> tuple[str, str]:
    flavour = rng.choices(["literal", "class", "group"], [45, 35, 20 if depth < 3 else 0])[0]
    if flavour == "literal":
        return rng.choice(LITERALS)
    if flavour == "class":
        return rng.choice(CLASSES)
    pattern, witness = _alternation(rng, depth + 1)
    opening = rng.choices(["(", "(?:", f"(?P<g{rng.randrange(10**9)}>"], [50, 45, 5])[0]
    return f"{opening}{pattern})", witness
