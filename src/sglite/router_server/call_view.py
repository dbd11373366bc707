"""What the router sees of a call: how long it may be, how its prompt begins, whose session it is.

The body goes to the worker as it came. A body that is no JSON object, or has its prompt elsewhere,
is routed without a prefix: the worker says what is wrong with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from sglite.router.policies import RoutedRequest
from sglite.router.prefix_hashes import text_hashes
from sglite.server.http.body import BodyError, parse_object

BYTES_PER_TOKEN = 4
MAX_TOKENS = 1 << 20
DEFAULT_NEW_TOKENS = 128
SESSION_HEADER = b"x-session-id"

PROMPT_FIELDS = ("tools", "system", "messages", "prompt", "text", "input_ids", "input", "query")
"""Where prompts are, in the order in which templates write them."""
_LENGTH_FIELDS = ("max_completion_tokens", "max_tokens", "max_new_tokens", "max_output_tokens")
_NAMESPACE_FIELDS = ("cache_salt", "extra_key")

_encode = msgspec.json.Encoder().encode


def view_call(
    request_id: str, body: bytes, headers: list[tuple[bytes, bytes]] | None = None
) -> RoutedRequest:
    """What routing needs to know. ``headers`` have names in lower case, as ASGI gives them."""
    fields = _fields(body)
    num_tokens = len(body) // BYTES_PER_TOKEN + _num_new_tokens(fields)
    namespace = "\n".join(str(fields.get(name) or "") for name in _NAMESPACE_FIELDS)
    return RoutedRequest(
        request_id,
        min(num_tokens, MAX_TOKENS),
        lambda: text_hashes(prompt_text(fields), namespace),
        _session(fields, headers or []),
    )


def prompt_text(fields: Mapping[str, Any]) -> str:
    """The beginning of what the model will read; two calls with one beginning share it.

    Of several prompts the first counts.
    """
    return "\n".join(_text(fields[name]) for name in PROMPT_FIELDS if fields.get(name))


def _fields(body: bytes) -> dict[str, Any]:
    try:
        return parse_object(body)
    except BodyError:
        return {}


def _text(value: Any) -> str:
    if isinstance(value, list) and isinstance(value[0], (str, list)):
        value = value[0]
    return value if isinstance(value, str) else _encode(value).decode("utf-8")


def _num_new_tokens(fields: Mapping[str, Any]) -> int:
    """How long the answer may be; a guess where the call does not say."""
    sampling = fields.get("sampling_params")
    for place in (sampling, fields):
        if not isinstance(place, dict):
            continue
        for name in _LENGTH_FIELDS:
            value = place.get(name)
            if type(value) is int and 0 <= value <= MAX_TOKENS:
                return value
    return DEFAULT_NEW_TOKENS


def _session(fields: Mapping[str, Any], headers: list[tuple[bytes, bytes]]) -> str | None:
    """A short name of the caller's session: from the header, otherwise ``user``."""
    name = next((value for key, value in headers if key == SESSION_HEADER), b"")
    if not name:
        user = fields.get("user")
        name = user.encode("utf-8", "surrogatepass") if isinstance(user, str) else b""
    return hashlib.blake2b(name, digest_size=16).hexdigest() if name else None
