"""What a caller may see of an answer: never a stop string, never half a character."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from sglite.errors import RequestError
from sglite.request import FinishReason, SamplingParams
from sglite.tokenizer.stop_checker import StopChecker, TextMatch

if TYPE_CHECKING:
    from sglite.tokenizer.tokenizer import Tokenizer


def try_assembler(
    tokenizer: Tokenizer | None,
    sampling: SamplingParams,
    *,
    eos_token_ids: Collection[int] | None = None,
) -> TextAssembler | None:
    """The assembler of a request; None without a tokenizer, where answers are token ids.

    Raises RequestError where stop strings would need the tokenizer that is not there.
    """
    if tokenizer is not None:
        return TextAssembler(tokenizer, sampling, eos_token_ids=eos_token_ids)
    if sampling.stop or sampling.stop_regex:
        raise RequestError(
            "stop strings need the tokenizer, and skip_tokenizer_init is set; use stop_token_ids",
            param="stop",
        )
    return None


class TextAssembler:
    """The visible text of one request, in instalments.

    Text that may turn out to be a stop string is held until that is known; a stop and what follows
    it are cut off. The token that ended the answer (EOS, or one of ``stop_token_ids``) adds no
    text. With ``no_stop_trim`` the text is that of all tokens. ``eos_token_ids`` are the request's
    (None: the tokenizer's). However the ids are cut into calls of ``push``, the text is the same.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        sampling: SamplingParams,
        *,
        eos_token_ids: Collection[int] | None = None,
    ) -> None:
        trims = not sampling.no_stop_trim
        self._checker = StopChecker(
            tokenizer,
            stop=sampling.stop if trims else (),
            stop_regex=sampling.stop_regex if trims else (),
            skip_special_tokens=sampling.skip_special_tokens,
        )
        self._end_ids: frozenset[int] = frozenset()
        if trims and not sampling.ignore_eos:
            eos_ids = tokenizer.eos_token_ids if eos_token_ids is None else eos_token_ids
            self._end_ids = frozenset((*eos_ids, *sampling.stop_token_ids))
        self._text = ""
        self._held = ""
        self._held_token: int | None = None
        self._match: TextMatch | None = None

    @property
    def text(self) -> str:
        """Everything that may be shown so far."""
        return self._text

    def push(self, token_ids: Iterable[int]) -> str:
        """Take the next ids and return the text that is safe to show."""
        for token_id in token_ids:
            self._release_token()
            if token_id in self._end_ids:
                self._held_token = token_id
            else:
                self._decode(token_id)
        return self._show(self._num_safe())

    def finish(self, reason: FinishReason, matched: int | str | None = None) -> str:
        """The request ended; returns the last text. ``matched`` is what stopped it, if STOP."""
        is_end = reason is FinishReason.STOP and matched == self._held_token
        if not is_end:
            self._release_token()
        self._held_token = None
        self._held += self._checker.finish()
        return self._show(self._num_safe(is_last=True))

    def _release_token(self) -> None:
        """A token that could have ended the answer did not."""
        if self._held_token is not None:
            self._decode(self._held_token)
            self._held_token = None

    def _decode(self, token_id: int) -> None:
        if self._match is not None:
            return
        text, self._match = self._checker.find(token_id)
        self._held += text

    def _num_safe(self, *, is_last: bool = False) -> int:
        """How many of the held characters may be shown."""
        if self._match is not None:
            return min(self._match.start - len(self._text), len(self._held))
        return len(self._held) if is_last else len(self._held) - self._checker.num_held()

    def _show(self, num_chars: int) -> str:
        delta, self._held = self._held[:num_chars], self._held[num_chars:]
        # The text must have one owner while it grows: then Python extends it in place.
        text, self._text = self._text, ""
        text += delta
        self._text = text
        return delta
