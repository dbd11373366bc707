"""What docs/limits.md lists: where each limit is stated, and what happens beyond it.

There are no figures here. A :class:`Constant` is read from the module that enforces it, an option
from ``sglite.config``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import jinja2.sandbox

import sglite.call_options as call_options
import sglite.server.chat_renderer as chat_renderer
import sglite.server.http.body as body
import sglite.server.http.connection_guard as connection_guard
import sglite.server.http.dispatch as dispatch
import sglite.server.http.error_table as error_table
import sglite.server.http.field_policy as field_policy
import sglite.server.http.request_ids as request_ids
import sglite.server.http.sessions as sessions
import sglite.server.listen as listen
import sglite.server.native.control as control
import sglite.server.native.generate as generate
import sglite.server.native.health as health
import sglite.server.native.parse as parse
import sglite.server.native.prefixes as prefixes
import sglite.server.native.request as native_request
import sglite.server.native.tokenize as tokenize
import sglite.server.open_calls as open_calls
import sglite.server.openai.completions as completions
import sglite.server.openai.models as models
import sglite.server.openai.options as openai_options
import sglite.server.peers as peers
import sglite.server.prompt_encoding as prompt_encoding
import sglite.tokenizer.chat_template as chat_template
import sglite.tokenizer.messages as messages
import sglite.validation.grammars as grammars
import sglite.validation.requests as requests
import sglite.validation.sampling_params as sampling_params


def count(value: float) -> str:
    """A number with commas."""
    return f"{value:,}"


def size(value: float) -> str:
    """Bytes in the largest binary unit that leaves no fraction."""
    number, units = int(value), ["bytes", "KiB", "MiB", "GiB"]
    while number % 1024 == 0 and len(units) > 1:
        number, units = number // 1024, units[1:]
    return f"{number:,} {units[0]}"


def seconds(value: float) -> str:
    """A time in seconds."""
    return f"{value:g} s"


def share(value: float) -> str:
    """A share in percent."""
    return f"{value:.0%}"


class Constant(NamedTuple):
    """A limit that no option changes. ``beyond`` is what happens beyond it."""

    what: str
    module: ModuleType
    name: str
    unit: Callable[[float], str]
    beyond: str

    @property
    def value(self) -> str:
        """The limit with its unit."""
        return self.unit(getattr(self.module, self.name))

    @property
    def place(self) -> str:
        """Where it is stated."""
        return f"{self.module.__name__.removeprefix('sglite.')}.{self.name}"


CALL = (
    Constant("a body", body, "MAX_BODY_BYTES", size, "413; the connection is closed"),
    Constant("levels of nesting in a body", body, "MAX_DEPTH", count, "400"),
    Constant("lists and objects in a body", body, "MAX_CONTAINERS", count, "400"),
    Constant(
        "a head (request line and headers)",
        connection_guard,
        "MAX_HEAD_BYTES",
        size,
        "431; the connection is closed",
    ),
    Constant(
        "characters of an `X-Request-Id`",
        request_ids,
        "MAX_LENGTH",
        count,
        "the server takes an id of its own",
    ),
    Constant("characters of an `X-Session-Id`", sessions, "MAX_SESSION_CHARACTERS", count, "400"),
    Constant(
        "unknown fields listed in `ignored_fields`",
        field_policy,
        "MAX_LISTED",
        count,
        "the rest is ignored as well, without being listed",
    ),
    Constant(
        "characters of a name listed there",
        field_policy,
        "MAX_NAME_CHARACTERS",
        count,
        "the name is cut",
    ),
)

FAN_OUT = (
    Constant("`n`, answers to one prompt", sampling_params, "MAX_SAMPLES", count, "400"),
    Constant("prompts of a call of `/generate`", native_request, "MAX_PROMPTS", count, "400"),
    Constant("prompts of a call of `/v1/completions`", completions, "MAX_PROMPTS", count, "400"),
    Constant("`stop`, and `stop_regex`, entries", sampling_params, "MAX_STOPS", count, "400"),
    Constant("characters of such an entry", sampling_params, "MAX_STOP_CHARACTERS", count, "400"),
    Constant("`stop_token_ids`, entries", sampling_params, "MAX_STOP_TOKEN_IDS", count, "400"),
    Constant("`logit_bias`, entries", sampling_params, "MAX_LOGIT_BIAS", count, "400"),
    Constant(
        "`top_logprobs_num`, `logprobs` (completions), `top_logprobs`",
        requests,
        "MAX_TOP_LOGPROBS",
        count,
        "400",
    ),
    Constant("`token_ids_logprob`, entries", requests, "MAX_CHOSEN_LOGPROBS", count, "400"),
    Constant("texts of `/tokenize`, lists of `/detokenize`", tokenize, "MAX_TEXTS", count, "400"),
    Constant("token ids of `/detokenize`, all lists", tokenize, "MAX_TOKENS", count, "400"),
    Constant(
        "characters of a text of `/parse_function_call`, `/separate_reasoning`",
        parse,
        "MAX_CHARACTERS",
        count,
        "400",
    ),
    Constant(
        "characters of a schema, a regular expression, a grammar or a structural tag",
        grammars,
        "MAX_GRAMMAR_CHARACTERS",
        count,
        "400",
    ),
    Constant("`choice`, entries", grammars, "MAX_CHOICES", count, "400"),
    Constant("characters of an entry of `choice`", grammars, "MAX_CHOICE_CHARACTERS", count, "400"),
)

LENGTH = (
    Constant(
        "characters of a text or chat for each token of the context",
        prompt_encoding,
        "MAX_CHARACTERS_PER_TOKEN",
        count,
        "400, before anything is encoded",
    ),
)

CHAT = (
    Constant("messages of a chat", messages, "MAX_MESSAGES", count, "400"),
    Constant("`tools`", messages, "MAX_TOOLS", count, "400"),
    Constant("levels of nesting in a tool or a call of one", messages, "MAX_DEPTH", count, "400"),
    Constant("`chat_template_kwargs`", messages, "MAX_TEMPLATE_KWARGS", count, "400"),
    Constant("characters of a text among them", messages, "MAX_KWARG_CHARS", count, "400"),
    Constant("time to render a chat", chat_renderer, "TIMEOUT_S", seconds, "400"),
    Constant("memory of the process that renders", chat_renderer, "MAX_MEMORY_BYTES", size, "400"),
    Constant("characters of a rendered chat", chat_template, "MAX_PROMPT_CHARS", count, "400"),
    Constant(
        "characters or items that `*` makes in a template",
        chat_template,
        "MAX_REPEATED_ITEMS",
        count,
        "400",
    ),
    Constant("`range` in a template", jinja2.sandbox, "MAX_RANGE", count, "400"),
)

PREFIXES = (
    Constant("prefixes that are kept", prefixes, "MAX_PREFIXES", count, "400"),
    Constant("their part of the KV pool", prefixes, "MAX_PINNED_SHARE", share, "400"),
    Constant("characters of a name", prefixes, "MAX_NAME_CHARACTERS", count, "400"),
)

NAMES = (
    Constant("`rid` of `/generate`", native_request, "MAX_CLIENT_ID_CHARACTERS", count, "400"),
    Constant("`rid` of `/abort_request`", generate, "MAX_REQUEST_ID_CHARACTERS", count, "400"),
    Constant("`rid`, `request_id` of `/v1`", openai_options, "MAX_ID_CHARACTERS", count, "400"),
    Constant("`model`", models, "MAX_NAME_CHARACTERS", count, "400"),
    Constant("`cache_salt`, `extra_key`", call_options, "MAX_SALT_CHARACTERS", count, "400"),
    Constant("labels such as `user`", openai_options, "MAX_LABEL_CHARACTERS", count, "400"),
    Constant(
        "open calls that `/abort_request` finds by their `rid`",
        open_calls,
        "MAX_NAMES",
        count,
        "served; found by the id that the answer shows",
    ),
)

WAITING = (
    Constant(
        "connections that wait to be accepted",
        listen,
        "BACKLOG",
        count,
        "the system makes them wait or refuses them",
    ),
    Constant("`Retry-After` of a 429 or 503", error_table, "DEFAULT_RETRY_AFTER_S", seconds, ""),
    Constant(
        "calls sent ahead on a connection, beside the one that runs",
        connection_guard,
        "MAX_CALLS_AHEAD",
        count,
        "read when their turn comes",
    ),
    Constant(
        "bodies of calls sent ahead",
        connection_guard,
        "MAX_BYTES_AHEAD",
        size,
        "read when their turn comes",
    ),
    Constant(
        "bytes of an answer that its client does not read",
        listen,
        "MAX_UNSENT_BYTES",
        size,
        "the rest waits, up to `--stall-timeout-s`",
    ),
    Constant(
        "least that a client takes of an answer in `--stall-timeout-s`",
        connection_guard,
        "MIN_TAKEN_BYTES",
        size,
        "the connection is cut",
    ),
    Constant("`Retry-After` while draining", dispatch, "RETRY_AFTER_STOP_S", seconds, ""),
    Constant("time of `/health_generate`", health, "GENERATE_TIMEOUT_S", seconds, "503"),
    Constant(
        "time that HTTP processes wait for each other",
        peers,
        "TIMEOUT_S",
        seconds,
        "the answer is made of what has come",
    ),
    Constant("`timeout` of `/flush_cache`", control, "MAX_FLUSH_WAIT_S", seconds, "400"),
    Constant("`num_steps` of `/start_profile`", control, "MAX_PROFILE_STEPS", count, "400"),
    Constant("characters of its `output_dir`", control, "MAX_PATH_CHARACTERS", count, "400"),
    Constant("characters of its `profile_prefix`", control, "MAX_PREFIX_CHARACTERS", count, "400"),
)

CONSTANTS = (*CALL, *FAN_OUT, *LENGTH, *CHAT, *PREFIXES, *NAMES, *WAITING)

LENGTH_OPTIONS = {
    "context_length": "400",
    "max_total_tokens": "400: what no empty pool could hold",
    "num_pages": "as `max_total_tokens`",
    "allow_auto_truncate": "",
    "aggressive_max_new_tokens": "",
    "max_context_margin": "",
    "adaptive_max_new_tokens": "a shorter answer, `finish_reason` `length`",
    "adaptive_max_inflight_threshold": "",
    "adaptive_max_new_tokens_factor": "",
}
"""Options about lengths, and what a client meets."""

TIME_OPTIONS = {
    "max_connections": "503, and the connection is closed; with several HTTP processes, each takes "
    "its part",
    "keep_alive_timeout_s": "the connection is closed; whole seconds, at least one",
    "read_timeout_s": "408, and the connection is closed",
    "stall_timeout_s": "the connection is cut and the request aborted",
    "max_queued_requests": "429 with `Retry-After`",
    "max_queued_tokens": "429 with `Retry-After`",
    "max_running_requests": "the request waits",
    "max_inflight_total": "the request waits, with several engines",
    "max_inflight_per_engine": "the request waits, or goes to another engine",
    "request_timeout_s": "`finish_reason` `abort`; a call of `/generate` brings its own `timeout`",
    "drain_timeout_s": "the stream ends with an error event; new calls get a 503 meanwhile",
    "watchdog_timeout_s": "every open call fails, and the server ends",
}
"""Options about time, connections and the queue, and what a client meets beyond them."""

NO_LIMITS_FOR_CLIENTS = frozenset(
    (
        "max_wait_s",
        "max_in_flight",
        "max_replicas",
        "dist_timeout_s",
        "cuda_graph_max_bs",
        "cuda_graph_max_tokens",
        "radix_cache_max_tokens",
        "radix_cache_max_entries",
        "radix_cache_max_prompt_tokens",
    )
)
"""Options that sound like limits and bound nothing that a call may ask for."""
