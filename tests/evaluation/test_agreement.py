import pytest

from sglite.errors import ConfigError
from sglite.evaluation.agreement import Agreement, measure_agreement
from tests.evaluation.fakes import ScriptedLLM, answers


def measured(draft, *rows):
    return measure_agreement(draft, answers(*rows).answers, vocab_size=draft.vocab_size)


def test_share_is_that_of_output_tokens_per_kind():
    done = measured(
        ScriptedLLM(), ("words", "abab", True), ("words", "aaaa", False), ("sums", "b", True)
    )
    assert done == Agreement({"sums": 0.0, "words": 75.0}, overall=50.0)


def test_draft_chooses_from_what_stands_before():
    # The prompt is one token with id 1: then "b" is the next letter after it, and so on.
    draft = ScriptedLLM(best=lambda token_ids: ord("b") if token_ids[-1] == 1 else ord("c"))
    assert measured(draft, ("words", "bc", True)).overall == 100.0
    assert measured(draft, ("words", "cb", True)).overall == 0.0


def test_answer_without_tokens_does_not_count():
    assert measured(ScriptedLLM(), ("sums", "", False), ("sums", "a", True)).overall == 100.0
    assert measured(ScriptedLLM(), ("sums", "", False)) == Agreement({}, 0.0)


def test_draft_of_another_vocabulary_is_refused():
    with pytest.raises(ConfigError, match=r"the draft model has 10 tokens .* model 1,114,112"):
        measure_agreement(
            ScriptedLLM(vocab_size=10), answers(("a", "a", True)).answers, vocab_size=0x110000
        )


def test_agreement_suffices_from_sixty_percent_on():
    assert Agreement({}, 60.0).suffices and not Agreement({}, 59.9).suffices
