"""How well a model expects the right answers: finer than counting those it gives itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sglite.errors import ConfigError
from sglite.evaluation.instances import GUIDE, Questions
from sglite.request import SamplingParams

if TYPE_CHECKING:
    from sglite.llm import LLM


def measure_perplexity(llm: LLM, questions: Questions) -> float | None:
    """exp of the mean negative log-probability of the tokens of the right answers.

    Each answer follows its prompt. Kind ``guide``, which has several right answers, is left out;
    None where nothing else is there. What exceeds the context is not read.
    """
    if llm.tokenizer is None:
        raise ConfigError("the questions are texts; eval needs the model's tokenizer")
    most = (llm.config.context_length or llm.spec.context_length) - 1
    texts, num_prompt_tokens = [], []
    for instance in questions.instances:
        if instance.kind == GUIDE:
            continue
        prompt = llm.tokenizer.encode(instance.prompt, add_special_tokens=False)
        answer = llm.tokenizer.encode(instance.answer, add_special_tokens=False)
        texts.append((prompt + answer)[:most])
        num_prompt_tokens.append(len(prompt))
    if not texts:
        return None
    read = llm.generate(
        texts,
        SamplingParams(temperature=0.0, max_new_tokens=0),
        return_logprob=True,
        logprob_start_len=0,
    )
    assert isinstance(read, list), "a list of prompts gives a list of generations"
    logprobs = [
        entry.logprob
        for generation, start in zip(read, num_prompt_tokens, strict=True)
        for entry in (generation.prompt_logprobs or [])[start:]
        if entry.logprob is not None
    ]
    return math.exp(-sum(logprobs) / max(len(logprobs), 1))
