"""Text from outside that must be UTF-8: standard input and the words of the command line."""

from __future__ import annotations

from collections.abc import Callable

from sglite.errors import ConfigError

STDIN = "standard input"

_FIRST_ESCAPED, _LAST_ESCAPED = 0xDC80, 0xDCFF  # how Python writes bytes that are no text


def read_text(read: Callable[[], str]) -> str:
    """What ``read`` takes from standard input; ConfigError where it is not UTF-8."""
    try:
        text = read()
    except UnicodeDecodeError as error:
        raise _not_utf8(STDIN, error.object[error.start], error.start) from error
    return checked_text(text, source=STDIN)


def checked_text(text: str, *, source: str) -> str:
    """``text`` itself; ConfigError, naming ``source`` and the byte, where it was not UTF-8."""
    for index, letter in enumerate(text):
        if _FIRST_ESCAPED <= ord(letter) <= _LAST_ESCAPED:
            position = len(text[:index].encode("utf-8"))
            raise _not_utf8(source, ord(letter) - _FIRST_ESCAPED + 0x80, position)
    return text


def _not_utf8(source: str, byte: int, position: int) -> ConfigError:
    return ConfigError(f"{source} is not UTF-8 (byte 0x{byte:02x} at {position})")
