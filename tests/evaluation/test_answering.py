from pathlib import Path

import pytest

from sglite.errors import ConfigError, RequestError
from sglite.evaluation.answering import NUM_SPARE_TOKENS, answer_all
from sglite.evaluation.instances import Questions
from sglite.request import FinishReason
from tests.evaluation.fakes import ScriptedLLM, instance


def questions(*instances, guide=None):
    return Questions(Path("q.jsonl"), list(instances), guide or {})


def test_everything_is_asked_greedily_and_judged():
    llm = ScriptedLLM({"1+1=": "2", "1+2=": "4"})
    asked = questions(instance(prompt="1+1=", answer="2"), instance(prompt="1+2=", answer="3"))
    done = answer_all(llm, asked)
    assert [answer.is_right for answer in done.answers] == [True, False]
    assert [answer.instance for answer in done.answers] == asked.instances
    assert done.num_tokens == 2 and done.tokens_per_s > 0
    assert all(sampling.is_greedy for sampling in llm.sampling)
    assert not any(sampling.skip_special_tokens for sampling in llm.sampling)


def test_answer_that_did_not_end_by_itself_is_wrong():
    llm = ScriptedLLM({"1+1=": "2"}, finish_reason=FinishReason.LENGTH)
    assert not answer_all(llm, questions(instance())).answers[0].is_right


def test_answers_get_as_many_tokens_as_the_right_one_may_have_and_some():
    llm = ScriptedLLM({"p": "x"})
    guide = {"token": ("four", "词元")}
    answer_all(
        llm,
        questions(instance(prompt="p", answer="é!"), instance("guide", "p", "token"), guide=guide),
    )
    assert [each.max_new_tokens - NUM_SPARE_TOKENS for each in llm.sampling] == [4, 7]


def test_context_limits_the_answer():
    llm = ScriptedLLM({"12345": "x"}, context_length=8)
    answer_all(llm, questions(instance(prompt="12345", answer="a" * 20)))
    assert llm.sampling[0].max_new_tokens == 2
    with pytest.raises(ConfigError, match=r"q\.jsonl line 7: the prompt has 7 tokens, .* of 8"):
        answer_all(llm, questions(instance(prompt="1234567", line=7)))


def test_prompt_that_cannot_be_encoded_names_its_line(monkeypatch):
    llm = ScriptedLLM()

    def encode(text, *, add_special_tokens):
        raise RequestError("text holds a lone surrogate")

    monkeypatch.setattr(llm.tokenizer, "encode", encode)
    with pytest.raises(ConfigError, match=r"q\.jsonl line 3: prompt: text holds a lone surrogate"):
        answer_all(llm, questions(instance(line=3)))


def test_engine_without_tokenizer_is_refused():
    llm = ScriptedLLM()
    llm.tokenizer = None
    with pytest.raises(ConfigError, match="eval needs the model's tokenizer"):
        answer_all(llm, questions(instance()))
