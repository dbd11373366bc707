"""Log-probabilities in OpenAI's two forms: columns for completions, objects for chats.

Both have one entry for each output token, the one that ended the answer too, so that their number
is ``completion_tokens``. Clients do arithmetic with the values: minus infinity is -9999.0, as in
vLLM, and null only where there is no value at all (the first token of a prompt).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sglite.request import TokenLogprobs
from sglite.tokenizer.detokenizer import IncrementalDetokenizer

if TYPE_CHECKING:
    from sglite.tokenizer import Tokenizer

LEAST_LOGPROB = -9999.0


def chat_logprobs(tokenizer: Tokenizer, entries: Sequence[TokenLogprobs]) -> dict[str, Any]:
    """The ``logprobs`` object of a chat choice: each token's text, bytes and alternatives."""
    content = []
    for entry in entries:
        token = _chat_token(tokenizer, entry.token_id, entry.logprob)
        token["top_logprobs"] = [_chat_token(tokenizer, *pair) for pair in entry.top]
        content.append(token)
    return {"content": content, "refusal": None}


def _chat_token(tokenizer: Tokenizer, token_id: int, logprob: float | None) -> dict[str, Any]:
    piece = tokenizer.piece_bytes(token_id)
    return {
        "token": piece.decode("utf-8", errors="replace"),
        "bytes": list(piece),
        "logprob": _finite(logprob),
    }


def token_name(tokenizer: Tokenizer | None, token_id: int) -> str:
    """A token's text in a completion's columns.

    A part of a character is shown as OpenAI shows it, ``bytes:\\xe2\\x82``, so that different
    tokens keep different names; without a tokenizer it is ``token_id:5``, as in vLLM.
    """
    if tokenizer is None:
        return f"token_id:{token_id}"
    piece = tokenizer.piece_bytes(token_id)
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


class CompletionLogprobs:
    """The ``logprobs`` columns of one completion choice, in instalments.

    ``text_offset`` is where a token begins in the choice's text, counted in characters: the second
    half of a character has the offset of the first, a token that the text does not show has that of
    what follows it. ``prompt_text`` begins the text where the prompt is echoed, and is empty
    otherwise.
    """

    def __init__(
        self,
        tokenizer: Tokenizer | None,
        *,
        num_top: int,
        prompt_text: str = "",
        skip_special_tokens: bool = True,
    ) -> None:
        self._tokenizer = tokenizer
        self._num_top = num_top
        self._prompt_text = prompt_text
        self._skips = skip_special_tokens
        self._output_offsets = TextOffsets(
            tokenizer, start=len(prompt_text), skip_special_tokens=skip_special_tokens
        )

    def prompt(self, entries: Sequence[TokenLogprobs]) -> dict[str, Any]:
        """The columns of an echoed prompt."""
        offsets = PromptOffsets(self._tokenizer, self._prompt_text)
        return self._columns(entries, [offsets.take(each.token_id) for each in entries])

    def output(
        self, entries: Sequence[TokenLogprobs], *, text_length: int | None = None
    ) -> dict[str, Any]:
        """The columns of the next output tokens.

        ``text_length`` is the length of the choice's whole text, where that is known: tokens of a
        stop string that was cut off begin there.
        """
        offsets = [self._output_offsets.take(each.token_id) for each in entries]
        if text_length is not None:
            offsets = [min(offset, text_length) for offset in offsets]
        return self._columns(entries, offsets)

    def _columns(self, entries: Sequence[TokenLogprobs], offsets: list[int]) -> dict[str, Any]:
        return {
            "text_offset": offsets,
            "token_logprobs": [_finite(each.logprob) for each in entries],
            "tokens": [token_name(self._tokenizer, each.token_id) for each in entries],
            "top_logprobs": [self._top(each) for each in entries] if self._num_top else None,
        }

    def _top(self, entry: TokenLogprobs) -> dict[str, float | None] | None:
        """The most likely tokens and the one that was taken, by name; None without a value."""
        if entry.logprob is None:
            return None
        pairs = [*entry.top, (entry.token_id, entry.logprob)]
        named: dict[str, float | None] = {}
        for token_id, logprob in pairs:
            named.setdefault(token_name(self._tokenizer, token_id), _finite(logprob))
        return named


def join_columns(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Columns one after the other; those that are null stay null."""
    return {name: None if first[name] is None else first[name] + second[name] for name in first}


class TextOffsets:
    """Where each output token begins in the text; all zero without a tokenizer."""

    def __init__(
        self, tokenizer: Tokenizer | None, *, start: int, skip_special_tokens: bool
    ) -> None:
        self._offset = start
        self._detokenizer = (
            None
            if tokenizer is None
            else IncrementalDetokenizer(tokenizer, skip_special_tokens=skip_special_tokens)
        )

    def take(self, token_id: int) -> int:
        """The offset of the next token."""
        offset = self._offset
        if self._detokenizer is not None:
            self._offset += len(self._detokenizer.push_token(token_id))
        return offset


class PromptOffsets:
    """Where each prompt token begins in the prompt's text.

    A special token has a width only where the text spells it out: a BOS that the tokenizer added
    has none. Offsets stay within the text, also where the tokenizer normalises it.
    """

    def __init__(self, tokenizer: Tokenizer | None, text: str) -> None:
        self._text = text
        self._offsets = TextOffsets(tokenizer, start=0, skip_special_tokens=False)
        self._tokenizer = tokenizer
        self._num_hidden = 0

    def take(self, token_id: int) -> int:
        """The offset of the next token."""
        offset = self._offsets.take(token_id) - self._num_hidden
        self._num_hidden += self._num_unspelled(token_id, offset)
        return min(offset, len(self._text))

    def _num_unspelled(self, token_id: int, offset: int) -> int:
        """How many characters the text lacks of a special token."""
        if self._tokenizer is None or token_id not in self._tokenizer.special_token_ids:
            return 0
        spelled = self._tokenizer.piece(token_id)
        return 0 if self._text.startswith(spelled, offset) else len(spelled)


def _finite(logprob: float | None) -> float | None:
    return None if logprob is None else max(logprob, LEAST_LOGPROB)
