import math
from pathlib import Path

import pytest

from sglite.errors import ConfigError
from sglite.evaluation.instances import Questions
from sglite.evaluation.perplexity import measure_perplexity
from tests.evaluation.fakes import ScriptedLLM, instance


def questions(*instances):
    return Questions(Path("q.jsonl"), list(instances), {})


def test_only_the_tokens_of_answers_count():
    # The n-th token of a text has the log-probability -n.
    llm = ScriptedLLM(logprob=lambda place: -float(place))
    asked = questions(instance(prompt="ab", answer="cd"), instance(prompt="abc", answer="d"))
    assert measure_perplexity(llm, asked) == pytest.approx(math.exp((2 + 3 + 3) / 3))


def test_kinds_with_several_right_answers_do_not_count():
    llm = ScriptedLLM(logprob=lambda place: -1.0)
    guided = instance(kind="guide", answer="page")
    assert measure_perplexity(llm, questions(guided, instance())) == pytest.approx(math.e)
    assert measure_perplexity(llm, questions(guided)) is None


def test_what_exceeds_the_context_is_not_read():
    llm = ScriptedLLM(logprob=lambda place: -float(place), context_length=4)
    asked = questions(instance(prompt="ab", answer="cdefgh"))
    assert measure_perplexity(llm, asked) == pytest.approx(math.exp(2))


def test_a_model_without_tokenizer_is_refused():
    llm = ScriptedLLM()
    llm.tokenizer = None
    with pytest.raises(ConfigError, match="needs the model's tokenizer"):
        measure_perplexity(llm, questions(instance()))
