"""Bodies that no sound client sends: T3's table of values, broken JSON, and mutations.

field_calls()       every field of every body with every value of VALUES, one at a time
shape_calls()       token ids and lengths at the limits, conversations that are none
broken_json_calls() what is no JSON, for every route that takes a body
mutated_calls()     the sound calls with a few bytes changed
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sglite.server.native import fields as native_fields
from sglite.server.native import streaming_dialect
from sglite.server.native.control import PROFILE_FIELDS
from sglite.server.native.prefixes import KNOWN as PREFIX_FIELDS
from sglite.server.native.tokenize import DETOKENIZE_FIELDS, TOKENIZE_FIELDS
from sglite.server.openai.fields import (
    CHAT_KNOWN,
    CHAT_UNSUPPORTED,
    COMPLETION_KNOWN,
    COMPLETION_UNSUPPORTED,
)
from sglite.validation.sampling_params import CHECKS, UNSUPPORTED
from tests.e2e.http_calls import Call, request
from tests.e2e.sound_calls import BODIES, LONG_TEXT

INTEGERS = (
    "-1", "0", "1", "20", "21", "128", "129", "2147483647", "2147483648", "-2147483649",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616",
    "100000000000000000000", "1" * 400, "1" * 5000,
)  # fmt: skip
NUMBERS = ("-0.0", "0.5", "1.0", "1e400", "-1e400", "1e-400", "3.5e38", "NaN", "Infinity")
TEXTS = (
    '""', '"1"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ufeffa"', '"a\\r\\nb: c"',
    '"' + "a" * (1 << 20) + '"', '"' + "\\u00e9" * 300 + '"', '"{{ 7 * 7 }}"', '"(a+)+$"', '"[["',
    '"' + "(" * 6 + "a?" + "){999}" * 6 + '"', '"' + "(" * 6 + "){999}" * 6 + '"',
)  # fmt: skip
OTHER_VALUES = (
    "true", "false", "null", "[]", "{}", "[null]", "[[]]", "[-1]", "[1e20]", '["a", 1]',
    '{"a": 100000000000000000000}', '{"-1": 1}', '{"5": "x"}', "[" * 60 + "]" * 60,
)  # fmt: skip
VALUES = (*INTEGERS, *NUMBERS, *TEXTS, *OTHER_VALUES)
"""As they stand in a body; some are no JSON."""
ANY_VALUES = ("0", '"x"', "true", "[1]", '{"a": 1}')
"""For fields that are refused whatever they hold."""

VOCAB_SIZE = 4096
IDS = (-1, VOCAB_SIZE - 1, VOCAB_SIZE, VOCAB_SIZE + 1, 2**31, 2**63, 10**20)

JsonText = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """A sound body, as JSON text by field, and the fields to spoil.

    ``inside``: the field of the body that holds them, None for the body itself.
    """

    path: str
    base: JsonText
    fields: Iterable[str]
    inside: str | None = None
    values: tuple[str, ...] = VALUES

    def body(self, field: str, value: str) -> bytes:
        """The sound body with one value in the place of another."""
        if self.inside is None:
            return as_json({**self.base, field: value})
        inner = as_json({"max_new_tokens": "2", field: value}).decode()
        return as_json({**self.base, self.inside: inner})


GENERATE = {"text": '"a b"', "sampling_params": '{"max_new_tokens": 2}'}
BATCH = {"text": '["a b", "c"]', "sampling_params": '{"max_new_tokens": 2}'}
DIALECT = {"prompt": '"a b"', "max_new_tokens": "2"}
COMPLETION = {"prompt": '"a b"', "max_tokens": "2"}
CHAT = {"messages": '[{"role": "user", "content": "Hi"}]', "max_tokens": "2"}

TARGETS = (
    Target("/generate", {"text": '"a b"'}, CHECKS, "sampling_params"),
    Target("/generate", {"text": '"a b"'}, (*UNSUPPORTED, "x"), "sampling_params", ANY_VALUES),
    Target("/generate", GENERATE, native_fields.KNOWN),
    Target("/generate", GENERATE, (*native_fields.UNSUPPORTED, "x"), values=ANY_VALUES),
    Target("/generate", BATCH, native_fields.PER_ITEM),
    Target("/generate", DIALECT, streaming_dialect.KNOWN),
    Target("/v1/completions", COMPLETION, COMPLETION_KNOWN),
    Target("/v1/completions", COMPLETION, (*COMPLETION_UNSUPPORTED, "x"), values=ANY_VALUES),
    Target("/v1/chat/completions", CHAT, CHAT_KNOWN),
    Target("/v1/chat/completions", CHAT, (*CHAT_UNSUPPORTED, "x"), values=ANY_VALUES),
    Target("/tokenize", {"prompt": '"a b"'}, TOKENIZE_FIELDS),
    Target("/tokenize", {"messages": CHAT["messages"]}, TOKENIZE_FIELDS),
    Target("/detokenize", {"tokens": "[5]"}, DETOKENIZE_FIELDS),
    Target("/prefix", {"name": '"a"', "text": f'"{LONG_TEXT}"'}, PREFIX_FIELDS),
    Target("/pause_generation", {}, ("mode",)),
    Target("/continue_generation", {}, ("mode",)),
    Target("/flush_cache", {}, ("timeout",)),
    Target("/abort_request", {}, ("rid", "abort_all")),
    Target("/start_profile", {}, PROFILE_FIELDS),
    Target("/stop_profile", {}, ("x",)),
)
POST_PATHS = tuple(dict.fromkeys(target.path for target in TARGETS))

CHATS: tuple[Any, ...] = (
    [],
    [None],
    ["Hi"],
    [[]],
    [{}],
    [{"role": "user"}],
    [{"content": "Hi"}],
    [{"role": "nobody", "content": "Hi"}],
    [{"role": "", "content": "Hi"}],
    [{"role": 1, "content": "Hi"}],
    [{"role": None, "content": "Hi"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": 1}],
    [{"role": "user", "content": {}}],
    [{"role": "user", "content": []}],
    [{"role": "user", "content": [None]}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "text", "text": 1}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
    [{"role": "user", "content": [{"type": 10**20}]}],
    [{"role": "tool", "content": "x"}],
    [{"role": "tool", "tool_call_id": {}, "content": "x"}],
    [{"role": "assistant", "tool_calls": "x"}],
    [{"role": "assistant", "tool_calls": [None]}],
    [{"role": "assistant", "tool_calls": [{"function": None}]}],
    [{"role": "assistant", "tool_calls": [{"function": {"name": 1, "arguments": 1}}]}],
    [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
    *(
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": text}}]}]
        for text in (
            "[]",
            "1e999",
            '{"a": "\\ud800"}',
            '{"\\ud800": 1}',
            '{"a": 1' + "0" * 30 + "}",
        )
    ),
    [{"role": "user", "content": "Hi", "name": 10**30}],
    [{"role": "user", "content": "Hi", "x" * 10_000: "y"}],
    [{"role": "user", "content": "Hi", "__class__": {"__init__": 1}}],
    [{"role": "system", "content": "Hi"}] * 40,
    [{"role": "user", "content": "a"}] * 2000,
    {"role": "user", "content": "Hi"},
)
TOOLS: tuple[Any, ...] = (
    [None],
    ["weather"],
    [{}],
    [{"type": "function"}],
    [{"type": "function", "function": {}}],
    [{"type": "function", "function": {"name": 10**20}}],
    [{"type": "function", "function": {"name": "f", "parameters": {"minimum": 10**20}}}],
    [{"type": "function", "function": {"name": "f", "parameters": [[[[[]]]]]}}],
    [{"type": "function", "function": {"name": "f", "description": "x" * 100_000}}],
    [{"type": "function", "function": {"name": "f"}}] * 300,
)


def as_json(fields: JsonText) -> bytes:
    """An object of values that are JSON text already, or want to look like it."""
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}").encode()


def field_calls() -> Iterator[Call]:
    """The table: one bad value in one field of a sound body."""
    for target in TARGETS:
        for field, value in itertools.product(sorted(target.fields), target.values):
            name = f"{target.inside or 'body'}.{field} = {value[:50]}"
            yield request(target.path, target.body(field, value), name=name)


def shape_calls(limits: Iterable[int]) -> Iterator[Call]:
    """Ids around the vocabulary's end, prompts around ``limits`` tokens, broken conversations."""
    bodies: list[tuple[str, Any]] = []
    for number in IDS:
        bodies += [
            ("/generate", {"input_ids": [number], "sampling_params": {"max_new_tokens": 1}}),
            ("/generate", {"text": "a", "sampling_params": {"stop_token_ids": [number]}}),
            ("/generate", {"text": "a", "sampling_params": {"logit_bias": {str(number): 1}}}),
            ("/generate", {"text": "a", "token_ids_logprob": [number]}),
            ("/v1/completions", {"prompt": [number], "max_tokens": 1}),
            ("/v1/completions", {"prompt": [[5], [number]], "max_tokens": 1}),
            ("/detokenize", {"tokens": [number]}),
            ("/prefix", {"name": "ids", "input_ids": [number] * 40}),
        ]
    for limit, margin in itertools.product(limits, range(-2, 3)):
        ids = [5] * (limit + margin)
        bodies += [
            ("/generate", {"input_ids": ids, "sampling_params": {"max_new_tokens": 1}}),
            ("/generate", {"input_ids": ids, "return_logprob": True, "logprob_start_len": 0}),
            ("/v1/completions", {"prompt": ids, "max_tokens": 1}),
            ("/v1/completions", {"prompt": " a" * len(ids), "max_tokens": 1}),
            ("/v1/completions", {"prompt": "a", "max_tokens": limit + margin}),
            ("/v1/chat/completions", _chat([{"role": "user", "content": " a" * len(ids)}])),
            ("/prefix", {"name": "long", "input_ids": ids}),
        ]
    bodies += [("/generate", {"text": ["a"] * 300}), ("/v1/completions", {"prompt": ["a"] * 300})]
    bodies += [("/generate", {}), ("/v1/completions", {}), ("/v1/chat/completions", {})]
    for messages in CHATS:
        bodies += [("/v1/chat/completions", _chat(messages)), ("/tokenize", {"messages": messages})]
    for tools in TOOLS:
        body = _chat([{"role": "user", "content": "Hi"}]) | {"tools": tools}
        bodies.append(("/v1/chat/completions", body))
    return (request(path, json.dumps(body).encode()) for path, body in bodies)


def _chat(messages: Any) -> dict[str, Any]:
    return {"messages": messages, "max_tokens": 2}


BROKEN_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "one byte": b"{",
    "NULs": b"\0" * 100,
    "a list": b"[]",
    "a string": b'"text"',
    "a number": b"1e999",
    "null": b"null",
    "lists 10,000 deep": b'{"text": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "objects 10,000 deep": b'{"text":' * 10_000 + b"1" + b"}" * 10_000,
    "a million open lists": b"[" * 1_000_000,
    "10,000 keys": as_json({f"key{number}": "1" for number in range(10_000)}),
    "300,000 lists": b'{"text": [' + b"[]," * 300_000 + b"[]]}",
    "the same key thrice": b'{"text": 1, "text": [], "text": "a", "prompt": 1, "prompt": "a"}',
    "a key of a megabyte": b'{"' + b"k" * (1 << 20) + b'": 1}',
    "truncated": b'{"text": "a", "sampling_params": {"max_new',
    "surplus": b'{"text": "a"}{"text": "a"}',
    "a comma too many": b'{"text": "a",}',
    "single quotes": b"{'text': 'a'}",
    "a comment": b'{"text": "a" /* here */}',
    "a raw newline": b'{"text": "a\nb"}',
    "a BOM": b'\xef\xbb\xbf{"text": "a"}',
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "Latin-1": b'{"text": "\xe9"}',
    "a lone surrogate in UTF-8": b'{"text": "\xed\xa0\x80"}',
    "an overlong form": b'{"text": "\xc0\xaf"}',
    "a text without an end": b'{"text": ' + b"[" * 70 + b'"' + b"a" * 1_000_000,
    "a text of quotes without an end": b'{"text": ' + b"[" * 70 + b'"' + b'\\"' * 200_000,
    "gzip": gzip.compress(b'{"text": "a"}'),
    "a form": b"text=a&sampling_params=b",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na\r\n--x--\r\n',
    "a pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94.",
}


def broken_json_calls() -> Iterator[Call]:
    """Every body of ``BROKEN_JSON``, to every route that takes one."""
    for path, (name, body) in itertools.product(POST_PATHS, BROKEN_JSON.items()):
        yield request(path, body, name=name)


SPLICES = (
    b"null", b"true", b"-1", b"0", b"1e400", b"NaN", b"99999999999999999999", b"\\ud800",
    b"[" * 70, b"[", b"]", b"{", b"}", b'"', b",", b":", b"\xff", b"\0", b"\xf0\x9f\x98\x80",
)  # fmt: skip


def _flip_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.randrange(256)


def _delete(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    del data[start : start + chance.randint(1, 8)]


def _double(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.randint(1, 40)]


def _splice(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = chance.choice(SPLICES)


def _replace_number(data: bytearray, chance: random.Random) -> None:
    """Put a number of the table in the place of a digit."""
    places = [place for place, byte in enumerate(data) if 48 <= byte < 58]
    if places:
        place = chance.choice(places)
        data[place : place + 1] = chance.choice((*INTEGERS, *NUMBERS)).encode()


def _truncate(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


Mutation = Callable[[bytearray, random.Random], None]
MUTATIONS: tuple[Mutation, ...] = (
    _flip_bit, _set_byte, _delete, _double, _splice, _replace_number, _truncate,
)  # fmt: skip


def mutate(body: bytes, chance: random.Random) -> bytes:
    """``body`` with one to four changes."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        if data:
            chance.choice(MUTATIONS)(data, chance)
    return bytes(data)


def mutated_calls(chance: random.Random, count: int) -> Iterator[Call]:
    """``count`` mutations, taken by turns from all sound bodies."""
    for path, body in itertools.islice(itertools.cycle(BODIES), count):
        method = "PUT" if path in ("/generate", "/prefix") and chance.random() < 0.1 else "POST"
        yield request(path, mutate(body, chance), method=method)
