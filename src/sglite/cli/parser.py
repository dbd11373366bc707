"""An argparse parser that names the nearest flag, and says so where SGLang's is not supported."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from sglite.config_fields import nearest
from sglite.config_sglang import is_foreign, translate
from sglite.errors import ConfigError


class CommandParser(argparse.ArgumentParser):
    """Parses the flags of one command; every problem is a ConfigError.

    ``--page_size`` is read as ``--page-size``. Abbreviations are not accepted: they break when a
    flag is added.
    """

    def __init__(self, **settings: Any) -> None:
        settings["description"] = _first_paragraph(settings.get("description"))
        settings.setdefault("usage", f"{settings['prog']} [options]")
        super().__init__(allow_abbrev=False, **settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, but nothing may be left over."""
        words = self._without_harmless([_dashed(word) for word in args or ()])
        parsed, left_over = super().parse_known_args(words, namespace)
        if left_over:
            raise ConfigError(self._unknown(left_over))
        return parsed, []

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the program."""
        raise ConfigError(message.removeprefix("argument "))

    def _without_harmless(self, words: list[str]) -> list[str]:
        """``words`` less the flags of SGLang that ask for nothing, such as ``--dp-size 1``.

        ConfigError for those that ask for what sglite cannot do.
        """
        if "--config" not in self._option_string_actions:  # no options of an engine
            return words
        kept: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            flag, equals, value = word.partition("=")
            name = flag.removeprefix("--").replace("-", "_")
            is_ours = flag in self._option_string_actions or not word.startswith("--")
            if is_ours or not is_foreign(name):
                kept.append(word)
                continue
            if not equals:
                value = rest.pop(0) if rest and not rest[0].startswith("-") else "true"
            translate(name, value, label=flag)
        return kept

    def _unknown(self, left_over: list[str]) -> str:
        flags = [word for word in left_over if word.startswith("-")]
        if not flags:
            return f"{left_over[0]!r:.80} is not expected here; see {self.prog} --help"
        flag = flags[0].partition("=")[0]
        known = [each for each in self._option_string_actions if each.startswith("--")]
        close = nearest(flag, known)
        hint = f"the nearest one is {close}" if close else f"see {self.prog} --help"
        return f"{flag} is not an option; {hint}"


def parse_integer(text: str, *, flag: str, at_least: int | None = None) -> int:
    """The integer that ``text`` spells; ConfigError, naming the flag, where it spells none."""
    try:
        value = int(text)
    except ValueError:
        value = None
    if value is None or (at_least is not None and value < at_least):
        limit = "" if at_least is None else f", at least {at_least}"
        raise ConfigError(f"{flag}: {text!r:.80} is not allowed; give an integer{limit}")
    return value


def _dashed(word: str) -> str:
    """``--page_size=1 -> --page-size=1``; values are left alone."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def _first_paragraph(text: str | None) -> str | None:
    return text.strip().partition("\n\n")[0] if text else None
