"""Programs over the embedded model, in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sglite import LLM, lang
from sglite.errors import RequestError
from sglite.lang.backend import Prompt, as_backend
from sglite.lang.llm_backend import LLMBackend

GREEDY = {"temperature": 0.0, "max_new_tokens": 12, "ignore_eos": True}
SKY = Prompt("The colour of the sky is", False)


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(max_total_tokens=8192) as llm:
        yield llm


@pytest.fixture(scope="module")
def backend(llm):
    return as_backend(llm)


@lang.function
def two_turns(s, question):
    s += lang.system("You are brief.")
    s += lang.user(question)
    s += lang.assistant(lang.gen("first", max_tokens=16))
    s += lang.user("Are you sure?")
    s += lang.assistant(lang.gen("second", max_tokens=8))


def test_answers_are_those_of_the_llm(llm, backend):
    assert isinstance(backend, LLMBackend)
    (answer,) = backend.generate(SKY, GREEDY, {})
    alone = llm.generate(SKY.text, GREEDY)
    assert answer.text == alone.text and answer.meta_info["completion_tokens"] == 12
    pieces = list(backend.stream(SKY, GREEDY, {}))
    assert len(pieces) > 2 and "".join(piece.text for piece in pieces) == alone.text
    assert pieces[-1].meta_info["completion_tokens"] == 12
    assert len(backend.generate(SKY, GREEDY | {"n": 3}, {})) == 3


def test_details_come_when_they_are_asked_for(backend):
    (answer,) = backend.generate(SKY, GREEDY, {"return_logprob": True, "top_logprobs_num": 2})
    assert len(answer.meta_info["output_token_logprobs"]) == 12
    with pytest.raises(RequestError, match="temprature"):
        backend.generate(SKY, {"temprature": 1}, {})


def test_a_conversation_is_the_chat_templates_prompt(llm):
    state = two_turns.run("What is the capital of France?", temperature=0.0, backend=llm)
    messages = state.messages()
    assert state.text() == llm.tokenizer.render_chat(messages, add_generation_prompt=False)
    chats = llm.chat([messages[:2], messages[:4]], {"temperature": 0.0, "max_new_tokens": 8})
    assert state["first"].startswith(chats[0].text) and state["second"] == chats[1].text


def test_turns_share_their_prefix(llm):
    llm.flush_cache()
    state = two_turns.run("What is the capital of Italy? Tell me.", temperature=0.0, backend=llm)
    first, second = state.get_meta_info("first"), state.get_meta_info("second")
    assert first["cached_tokens"] == 0
    page = llm.config.page_size
    assert second["cached_tokens"] >= first["prompt_tokens"] // page * page > 0


def test_choices_are_scored_as_llm_score_does_it(llm, backend):
    choices = [" blue", " green", " a bicycle"]

    @lang.function
    def program(s):
        s += SKY.text + lang.select("colour", choices)

    told = program.run(backend=backend).get_meta_info("colour")
    for scored, logprobs in zip(
        llm.score(SKY.text, choices), told["input_token_logprobs"], strict=True
    ):
        assert scored.token_logprobs == pytest.approx(logprobs, abs=1e-4)
    averages = [sum(each) / len(each) for each in told["input_token_logprobs"]]
    assert told["normalized_prompt_logprobs"] == pytest.approx(averages)


def test_the_prefix_of_choices_is_computed_once(llm, backend):
    llm.flush_cache()
    words = "one two three four five six seven eight nine ten " * 8
    prompt_ids, *wholes = backend.encode(
        [words, *(words + c for c in "abcdef")], add_special_tokens=True
    )
    before = llm.stats()
    backend.prompt_logprobs(wholes, len(prompt_ids) - 1)
    after = llm.stats()
    num_asked, num_cached = (
        after[name] - before[name] for name in ("num_prompt_tokens", "num_cached_tokens")
    )
    assert num_asked == sum(map(len, wholes))
    page_size = llm.config.page_size
    assert num_cached >= 5 * (len(prompt_ids) // page_size - 1) * page_size


def test_every_way_to_decide_gives_one_of_the_choices(llm):
    @lang.function
    def program(s, method):
        s += "2+2=" + lang.select("sum", ["4", "5", "22"], choices_method=method)

    methods = (lang.greedy_token_selection, lang.unconditional_likelihood_normalized)
    for method in methods:
        state = program.run(method, backend=llm)
        assert state["sum"] in ("4", "5", "22")
        assert state.get_meta_info("sum")["choices_method"] == method.name


def test_a_batch_answers_as_its_runs_alone(llm):
    questions = [{"question": f"What is {number}+2?"} for number in range(8)]
    together = two_turns.run_batch(questions, temperature=0.0, num_threads=8, backend=llm)
    for state, arguments in zip(together[:2], questions, strict=False):
        alone = two_turns.run(**arguments, temperature=0.0, backend=llm)
        assert alone.text() == state.text()


def test_a_closed_llm_fails_programs_instead_of_hanging():
    @lang.function
    def endless(s):
        s += "Once" + lang.gen("x", max_tokens=900, ignore_eos=True)

    with LLM(max_total_tokens=2048) as llm:
        state = endless.run(backend=llm, stream=True)
        assert next(state.text_iter("x"))
    assert state.error() is not None
