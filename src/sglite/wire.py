"""A finished generation as SGLang's ``/generate`` writes it in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sglite.request import FinishReason, TokenLogprobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sglite.generation import Generation
    from sglite.tokenizer import Tokenizer

Triple = list[Any]


def generation_to_sglang(
    generation: Generation, tokenizer: Tokenizer | None = None, *, with_text: bool = False
) -> dict[str, Any]:
    """The answer object of ``/generate``.

    ``output_ids`` keep the stop token that ``text`` does not show. Log-probabilities appear where
    the generation has them. ``with_text`` fills the third element of their triples, which is null
    otherwise; it needs the tokenizer.
    """
    meta = meta_info(generation)
    texts = TokenTexts(tokenizer if with_text else None)
    if generation.logprobs is not None:
        meta |= logprob_lists("output", generation.logprobs, texts)
        meta["output_token_logprobs_length"] = len(generation.logprobs)
        meta |= logprob_lists("input", generation.prompt_logprobs or [], texts)
    return {
        "text": generation.text,
        "output_ids": list(generation.token_ids),
        "meta_info": meta,
    }


def meta_info(generation: Generation) -> dict[str, Any]:
    """``meta_info`` of a finished answer, without its log-probabilities."""
    meta: dict[str, Any] = {
        "id": generation.request_id,
        "finish_reason": finish_reason_to_sglang(generation),
        "prompt_tokens": generation.num_prompt_tokens,
        "completion_tokens": generation.num_output_tokens,
        "cached_tokens": generation.num_cached_tokens,
        "reasoning_tokens": generation.num_reasoning_tokens,
        "jumped_tokens": generation.num_jumped_tokens,
        "weight_version": "default",
        "num_retractions": generation.num_retractions,
        "dp_rank": None,
        "e2e_latency": generation.e2e_s,
    }
    if generation.ignored_schema_keywords:
        meta["ignored_schema_keywords"] = list(generation.ignored_schema_keywords)
    return meta


def finish_reason_to_sglang(generation: Generation) -> dict[str, Any]:
    """``{"type": "stop", "matched": ...}`` and its kin."""
    reason = generation.finish_reason
    if reason is FinishReason.STOP:
        return {"type": "stop", "matched": generation.matched}
    if reason is FinishReason.LENGTH:
        return {"type": "length", "length": generation.num_output_tokens}
    is_error = reason is FinishReason.ERROR
    return {
        "type": "abort",
        "message": generation.message or f"the request ended: {reason.value}",
        "status_code": 500 if is_error else None,
        "err_type": "InternalServerError" if is_error else None,
    }


class TokenTexts:
    """The text of a token, null where there is no tokenizer."""

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self.tokenizer = tokenizer

    def triple(self, token_id: int, logprob: float | None) -> Triple:
        """``[logprob, token_id, text]``."""
        text = None if self.tokenizer is None else self.tokenizer.piece(token_id)
        return [logprob, token_id, text]

    def triples(self, pairs: Iterable[tuple[int, float]]) -> list[Triple] | None:
        """The same for each of ``pairs``; None where there are none."""
        return [self.triple(token_id, logprob) for token_id, logprob in pairs] or None


def logprob_lists(
    side: str, logprobs: Sequence[TokenLogprobs], texts: TokenTexts
) -> dict[str, Any]:
    """The lists of one side, ``input`` or ``output``; those that nobody asked for are left out."""
    lists: dict[str, Any] = {
        f"{side}_token_logprobs": [texts.triple(each.token_id, each.logprob) for each in logprobs]
    }
    if any(each.top for each in logprobs):
        lists[f"{side}_top_logprobs"] = [texts.triples(each.top) for each in logprobs]
    if any(each.chosen for each in logprobs):
        lists[f"{side}_token_ids_logprobs"] = [texts.triples(each.chosen) for each in logprobs]
    return lists
