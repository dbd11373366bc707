"""``/tokenize`` and ``/detokenize``: text or a chat to token ids, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from sglite.errors import RequestError
from sglite.server.chat_encoding import encode_rendered, render_chat
from sglite.server.http.body import read_json
from sglite.server.http.field_policy import check_fields
from sglite.server.http.routes import ApiRoute, json_response
from sglite.server.prompt_encoding import encode_prompts, off_loop
from sglite.validation.fields import boolean, shown, token_ids

if TYPE_CHECKING:
    from sglite.server.front import Front
    from sglite.tokenizer import Tokenizer

MAX_TEXTS = 256
MAX_TOKENS = 1 << 18
"""Most token ids that one call may have decoded."""
CHARACTERS_PER_TOKEN = 8
"""What a token counts for where the cost of decoding is weighed against that of a thread."""

TOKENIZE_FIELDS = frozenset(
    (
        "model",
        "prompt",
        "messages",
        "tools",
        "add_special_tokens",
        "add_generation_prompt",
        "chat_template_kwargs",
    )
)
DETOKENIZE_FIELDS = frozenset(("model", "tokens", "skip_special_tokens"))

TOKENIZE_SCHEMA = {
    "type": "object",
    "properties": {
        "prompt": {"type": ["string", "array"]},
        "messages": {"type": "array"},
        "add_special_tokens": {"type": "boolean"},
    },
    "anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}],
}
DETOKENIZE_SCHEMA = {
    "type": "object",
    "properties": {"tokens": {"type": "array"}, "skip_special_tokens": {"type": "boolean"}},
    "required": ["tokens"],
}


def routes(front: Front) -> list[ApiRoute]:
    """``/tokenize`` and ``/detokenize``, and both under ``/v1``."""
    api = TokenizeApi(front)
    return [
        ApiRoute(
            path=prefix + path,
            methods=("POST",),
            handler=handler,
            access="user",
            summary=summary,
            body=body,
        )
        for prefix in ("", "/v1")
        for path, handler, summary, body in (
            ("/tokenize", api.tokenize, "Text or a chat to token ids", TOKENIZE_SCHEMA),
            ("/detokenize", api.detokenize, "Token ids to text", DETOKENIZE_SCHEMA),
        )
    ]


class TokenizeApi:
    """The handlers."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def tokenize(self, request: Request) -> Response:
        """One text, a list of texts, or a chat, whose rendered ``prompt`` is told as well.

        Raises RequestError.
        """
        body = await read_json(request)
        check_fields(request, body, known=TOKENIZE_FIELDS, unsupported={})
        prompt, messages = body.get("prompt"), body.get("messages")
        if (prompt is None) == (messages is None):
            raise RequestError("give one of prompt and messages", param="prompt")
        rendered = None
        if messages is not None:
            rendered = await render_chat(
                self._front,
                messages,
                tools=body.get("tools"),
                add_generation_prompt=_flag(body, "add_generation_prompt"),
                template_kwargs=body.get("chat_template_kwargs"),
            )
            tokens: Any = await encode_rendered(self._front, rendered)
        else:
            tokens = await self._encode(prompt, add_special=_flag(body, "add_special_tokens"))
        is_batch = isinstance(prompt, list)
        count = [len(each) for each in tokens] if is_batch else len(tokens)
        limit = self._front.limits.context_length
        answer = {"tokens": tokens, "count": count, "max_model_len": limit}
        return json_response(answer if rendered is None else answer | {"prompt": rendered})

    async def detokenize(self, request: Request) -> Response:
        """One list of token ids, or a list of such lists. Raises RequestError."""
        body = await read_json(request)
        check_fields(request, body, known=DETOKENIZE_FIELDS, unsupported={})
        tokenizer, tokens = self._tokenizer(), body.get("tokens")
        is_batch = isinstance(tokens, list) and bool(tokens) and isinstance(tokens[0], list)
        batch = _checked_ids(tokens, is_batch=is_batch, vocab_size=self._front.limits.vocab_size)
        skips = _flag(body, "skip_special_tokens")
        texts = await off_loop(
            lambda: [tokenizer.decode(ids, skip_special_tokens=skips) for ids in batch],
            size=CHARACTERS_PER_TOKEN * sum(map(len, batch)),
        )
        return json_response({"text": texts if is_batch else texts[0]})

    async def _encode(self, prompt: Any, *, add_special: bool) -> Any:
        texts = prompt if isinstance(prompt, list) else [prompt]
        if len(texts) > MAX_TEXTS:
            raise RequestError(
                f"prompt must have at most {MAX_TEXTS} texts, got {len(texts):,}", param="prompt"
            )
        for text in texts:
            if not isinstance(text, str):
                raise RequestError(
                    f"prompt must be a string or a list of strings, got {shown(text)}",
                    param="prompt",
                )
        encoded = await encode_prompts(
            self._front.tokenizer,
            texts,
            max_tokens=self._front.limits.context_length,
            field="prompt",
            add_special_tokens=add_special,
        )
        return encoded if isinstance(prompt, list) else encoded[0]

    def _tokenizer(self) -> Tokenizer:
        tokenizer = self._front.tokenizer
        if tokenizer is None:
            raise RequestError("this server has no tokenizer: skip_tokenizer_init is set")
        return tokenizer


def _checked_ids(tokens: Any, *, is_batch: bool, vocab_size: int) -> Sequence[list[int]]:
    batch = tokens if is_batch else [tokens]
    if len(batch) > MAX_TEXTS:
        raise RequestError(
            f"tokens must have at most {MAX_TEXTS} lists, got {len(batch):,}", param="tokens"
        )
    for ids in batch:
        if not isinstance(ids, list):
            raise RequestError(
                f"tokens must be a list of token ids, or a list of such lists, got {shown(ids)}",
                param="tokens",
            )
        token_ids("tokens", ids, vocab_size=vocab_size)
    if sum(map(len, batch)) > MAX_TOKENS:
        raise RequestError(f"tokens must hold at most {MAX_TOKENS:,} ids", param="tokens")
    return batch


def _flag(body: dict[str, Any], name: str) -> bool:
    """True unless it is said to be false."""
    value = body.get(name)
    return True if value is None else boolean(name, value)
