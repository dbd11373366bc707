"""The offline face on real weights: a random tiny checkpoint, and the model that comes along."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import torch

from sglite import LLM, SamplingParams
from sglite.errors import ConfigError, EngineDeadError, RequestError
from sglite.generation import Generation
from sglite.request import FinishReason, Request
from tests.cli.real_model import make_tiny_model

WAIT_S = 20.0
GREEDY = {"temperature": 0.0, "max_new_tokens": 16, "ignore_eos": True}
ENDLESS = {"temperature": 0.0, "max_new_tokens": 900, "ignore_eos": True}
PROMPT = "Tell me about the sea and the hills behind it"
PROMPTS = [PROMPT, "A short one", "Numbers: 1 2 3 4 5 6 7", "and a fourth, which is longer again"]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def llm(model_dir: str) -> Iterator[LLM]:
    with LLM(model_dir, max_total_tokens=8192, check=True) as llm:
        yield llm


@pytest.fixture(scope="module")
def embedded() -> Iterator[LLM]:
    with LLM(max_total_tokens=4096) as llm:
        yield llm


@pytest.fixture(scope="module")
def reference(model_dir: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()


@pytest.fixture(autouse=True)
def nothing_is_left(llm: LLM) -> Iterator[None]:
    """Every test leaves an idle engine, all pages accounted for, and no thread."""
    yield
    for thread in threading.enumerate():
        if thread.name == "async-call":
            thread.join(WAIT_S)
            assert not thread.is_alive(), "an asynchronous call was left behind"
    stats = llm.stats()
    assert stats["num_running_requests"] == stats["num_waiting_requests"] == 0
    free, cached = stats["cache_num_free_tokens"], stats["cache_num_cached_tokens"]
    assert free + cached == stats["cache_num_total_tokens"] == 8192


def one(answer: Generation | list[Generation]) -> Generation:
    assert isinstance(answer, Generation)
    return answer


def many(answer: Generation | list[Generation]) -> list[Generation]:
    assert isinstance(answer, list)
    return answer


# -- prompts ---------------------------------------------------------------------------------------


def test_text_and_its_ids_give_the_same_answer(llm: LLM) -> None:
    assert llm.tokenizer is not None
    ids = llm.tokenizer.encode(PROMPT)
    by_text, by_ids = one(llm.generate(PROMPT, GREEDY)), one(llm.generate(ids, GREEDY))
    assert by_text.token_ids == by_ids.token_ids
    assert by_text.text == by_ids.text == llm.tokenizer.decode(by_text.token_ids)
    assert by_text.prompt_token_ids == ids
    assert len(set(by_text.token_ids)) > 8, "the model's output is not varied"


def test_a_list_gives_a_list_in_its_order(llm: LLM) -> None:
    assert llm.tokenizer is not None
    alone = [one(llm.generate(prompt, GREEDY)).token_ids for prompt in PROMPTS]
    together = many(llm.generate(PROMPTS, GREEDY))
    assert [generation.token_ids for generation in together] == alone
    assert [generation.index for generation in together] == [0, 1, 2, 3]
    ids = [llm.tokenizer.encode(prompt) for prompt in PROMPTS]
    assert [generation.token_ids for generation in many(llm.generate(ids, GREEDY))] == alone
    assert len(many(llm.generate([PROMPT], GREEDY))) == 1


def test_several_engines_are_not_for_an_llm() -> None:
    with pytest.raises(ConfigError, match="dp_size is 2: an LLM runs one engine"):
        LLM(dp_size=2)


def test_an_llm_leads_its_ranks() -> None:
    with pytest.raises(ConfigError, match="node_rank is 1: an LLM leads the ranks of all machines"):
        LLM(tp_size=2, nnodes=2, node_rank=1)


def test_nothing_asked_is_nothing_answered(llm: LLM) -> None:
    assert llm.generate([]) == []
    assert llm.chat([]) == []
    assert asyncio.run(llm.async_generate([])) == []
    assert llm.score(PROMPT, []) == []


def test_tokens_are_those_of_transformers(llm: LLM, reference: Any) -> None:
    answer = one(llm.generate(PROMPT, GREEDY))
    ids = torch.tensor([answer.prompt_token_ids])
    with torch.inference_mode():
        output = reference.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, min_new_tokens=16,
            do_sample=False,
        )  # fmt: skip
    assert answer.token_ids == output[0, ids.shape[1] :].tolist()


def test_each_prompt_may_have_its_own_parameters(llm: LLM) -> None:
    lengths = [3, 7, 1, 12]
    params = [SamplingParams(**{**GREEDY, "max_new_tokens": length}) for length in lengths]
    answers = many(llm.generate(PROMPTS, params))
    assert [answer.num_output_tokens for answer in answers] == lengths
    mixed = many(llm.generate(PROMPTS[:2], [None, {"max_new_tokens": 2}]))
    assert mixed[1].num_output_tokens <= 2


def test_samples_of_a_prompt_stand_side_by_side_and_differ(llm: LLM) -> None:
    sampling = {"temperature": 1.0, "max_new_tokens": 8, "n": 3, "sampling_seed": 5}
    answers = many(llm.generate(PROMPTS[:2], sampling))
    assert len(answers) == 6
    prompts = [answer.prompt_token_ids for answer in answers]
    assert prompts[0] == prompts[1] == prompts[2] != prompts[3] == prompts[4] == prompts[5]
    assert len({tuple(answer.token_ids) for answer in answers[:3]}) == 3
    again = many(llm.generate(PROMPTS[:2], sampling))
    assert [a.token_ids for a in again] == [a.token_ids for a in answers]
    single = many(llm.generate(PROMPTS[0], sampling))
    assert [a.token_ids for a in single] == [a.token_ids for a in answers[:3]]


def test_without_a_seed_answers_differ_from_call_to_call(llm: LLM) -> None:
    sampling = {"temperature": 1.0, "max_new_tokens": 12, "ignore_eos": True}
    assert len({one(llm.generate(PROMPT, sampling)).text for _ in range(3)}) == 3


# -- stops -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(llm: LLM) -> Generation:
    """A greedy answer without any stop."""
    return one(llm.generate(PROMPT, {**GREEDY, "max_new_tokens": 40}))


def stop_in(text: str) -> str:
    """Some characters out of the middle of a text, that occur there first."""
    start = len(text) // 2
    stop = text[start : start + 5]
    assert text.find(stop) == start and stop.isprintable()
    return stop


def test_a_stop_string_ends_the_answer_and_never_shows(llm: LLM, plain: Generation) -> None:
    stop = stop_in(plain.text)
    sampling = {**GREEDY, "max_new_tokens": 40, "stop": [stop, "never there"]}
    whole = one(llm.generate(PROMPT, sampling))
    assert (whole.finish_reason, whole.matched) == (FinishReason.STOP, stop)
    assert whole.text == plain.text[: plain.text.find(stop)]
    assert whole.num_output_tokens < 40
    shown = ""
    for chunk in llm.stream(PROMPT, sampling):
        shown += chunk.text
        assert plain.text.startswith(shown) and stop not in shown
    assert shown == whole.text


def test_untrimmed_the_stop_shows(llm: LLM, plain: Generation) -> None:
    stop = stop_in(plain.text)
    sampling = {**GREEDY, "max_new_tokens": 40, "stop": stop, "no_stop_trim": True}
    whole = one(llm.generate(PROMPT, sampling))
    assert stop in whole.text and plain.text.startswith(whole.text)
    assert "".join(chunk.text for chunk in llm.stream(PROMPT, sampling)) == whole.text


def test_a_stop_regex_ends_the_answer(llm: LLM, plain: Generation) -> None:
    first, last = re.escape(stop_in(plain.text)[:2]), re.escape(stop_in(plain.text)[-1])
    pattern = f"{first}.{{0,4}}{last}"
    whole = one(llm.generate(PROMPT, {**GREEDY, "max_new_tokens": 40, "stop_regex": pattern}))
    assert whole.finish_reason is FinishReason.STOP
    assert isinstance(whole.matched, str) and whole.matched not in whole.text
    assert plain.text.startswith(whole.text + whole.matched)


def test_stop_token_ids_end_the_answer_and_do_not_show(llm: LLM, plain: Generation) -> None:
    assert llm.tokenizer is not None
    stop = plain.token_ids[10]
    sampling = {"temperature": 0.0, "max_new_tokens": 40, "stop_token_ids": [stop]}
    whole = one(llm.generate(PROMPT, sampling))
    end = plain.token_ids.index(stop)
    assert (whole.finish_reason, whole.matched) == (FinishReason.STOP, stop)
    assert whole.token_ids == plain.token_ids[: end + 1]
    assert whole.text == llm.tokenizer.decode(plain.token_ids[:end])
    ignoring = one(llm.generate(PROMPT, {**sampling, "ignore_eos": True}))
    assert ignoring.token_ids == plain.token_ids


@pytest.mark.parametrize("interval", [1, 4, 100])
def test_streaming_adds_up_to_the_answer(llm: LLM, plain: Generation, interval: int) -> None:
    sampling = {**GREEDY, "max_new_tokens": 40, "stream_interval": interval}
    chunks = list(llm.stream(PROMPT, sampling))
    assert "".join(chunk.text for chunk in chunks) == plain.text
    assert [i for chunk in chunks for i in chunk.token_ids] == plain.token_ids
    assert chunks[-1].finished is not None and chunks[-1].finished.text == plain.text
    assert [chunk.finished for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert len(chunks) <= 3 + 40 // interval


def test_the_engine_knows_which_answers_are_streamed(
    embedded: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, made = embedded._client, []
    submit = engine.submit

    def watched(requests: list[Request], *receivers: Any) -> None:
        made.extend(request.is_streamed for request in requests)
        submit(requests, *receivers)

    monkeypatch.setattr(engine, "submit", watched)
    short = {"max_new_tokens": 2}
    chat = [{"role": "user", "content": "Hi"}]

    async def drain() -> None:
        async for _ in embedded.async_stream(PROMPT, short):
            pass

    list(embedded.stream(PROMPT, short))
    list(embedded.chat_stream(chat, short))
    asyncio.run(drain())
    assert made == [True] * 3
    made.clear()
    embedded.generate(PROMPTS[:2], short)
    embedded.chat(chat, short)
    asyncio.run(embedded.async_generate(PROMPT, short))
    embedded.score("The sea", [" is blue"])
    assert made == [False] * 5


def test_an_early_end_of_a_stream_frees_its_pages(llm: LLM) -> None:
    with_stream = llm.stream(PROMPT, ENDLESS)
    for _ in range(3):
        assert next(with_stream).finished is None
    with_stream.close()
    assert llm.stats()["num_running_requests"] == 0


# -- log-probabilities -----------------------------------------------------------------------------


def scores(reference: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return reference(torch.tensor([ids])).logits[0].log_softmax(dim=-1)


def test_logprobs_are_those_of_transformers(llm: LLM, reference: Any) -> None:
    answer = one(
        llm.generate(
            PROMPT, GREEDY, return_logprob=True, logprob_start_len=0, top_logprobs_num=4,
            token_ids_logprob=[3, 900],
        )
    )  # fmt: skip
    ids = answer.prompt_token_ids + answer.token_ids
    expected = scores(reference, ids)
    assert answer.logprobs is not None and answer.prompt_logprobs is not None
    entries = [*answer.prompt_logprobs, *answer.logprobs]
    assert [entry.token_id for entry in entries] == ids
    assert entries[0].logprob is None
    for position, entry in enumerate(entries[1:]):
        row = expected[position]
        assert entry.logprob == pytest.approx(float(row[ids[position + 1]]), abs=1e-4)
        assert [value for _, value in entry.top] == pytest.approx(
            row.topk(4).values.tolist(), abs=1e-4
        )
        assert [token for token, _ in entry.chosen] == [3, 900]
        assert entry.chosen[1][1] == pytest.approx(float(row[900]), abs=1e-4)


def test_prompt_logprobs_start_where_asked_whatever_is_cached(llm: LLM) -> None:
    llm.insert_prefix(PROMPT)
    answers = [
        one(llm.generate(PROMPT, GREEDY, logprob_start_len=start, return_logprob=True))
        for start in (0, 5)
    ]
    whole, part = (answer.prompt_logprobs for answer in answers)
    assert whole is not None and part is not None
    assert part[0].logprob is None and part[0].token_id == whole[5].token_id
    values = [entry.logprob for entry in whole[6:]]
    assert [entry.logprob for entry in part[1:]] == pytest.approx(values, abs=1e-5)


def test_scores_are_those_of_transformers(llm: LLM, reference: Any) -> None:
    assert llm.tokenizer is not None
    continuations = [" and on", " the end.", ""]
    found = llm.score(PROMPT, continuations)
    prompt_ids = llm.tokenizer.encode(PROMPT)
    for continuation, score in zip(continuations, found, strict=True):
        ids = llm.tokenizer.encode(PROMPT + continuation)
        assert ids[: len(prompt_ids)] == prompt_ids
        table = scores(reference, ids)
        expected = [float(table[p - 1, ids[p]]) for p in range(len(prompt_ids), len(ids))]
        assert score.token_logprobs == pytest.approx(expected, abs=1e-4)
        assert score.logprob == pytest.approx(sum(expected), abs=1e-3)
    assert found[2].is_greedy and found[2].logprob == 0.0


def test_the_models_own_answer_is_greedy_and_another_is_not(llm: LLM, embedded: LLM) -> None:
    prompt = "The capital of France is"
    found = embedded.score(prompt, [" Paris", " Rome"])
    assert [score.is_greedy for score in found] == [True, False]
    assert found[0].logprob > found[1].logprob


# -- chat ------------------------------------------------------------------------------------------


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def test_the_embedded_model_chats(embedded: LLM) -> None:
    question = user("What is the capital of France?")
    answer = one(embedded.chat(question))
    assert answer.text == "The capital of France is Paris."
    assert answer.finish_reason is FinishReason.STOP
    chunks = list(embedded.chat_stream(question))
    assert "".join(chunk.text for chunk in chunks) == answer.text
    assert len(chunks) > 3


def test_conversations_come_in_lists_too(embedded: LLM) -> None:
    questions = [user("What is 17 + 25?"), user("Who are you?")]
    answers = many(embedded.chat(questions))
    assert [answer.text for answer in answers] == [
        one(embedded.chat(question)).text for question in questions
    ]
    assert "42" in answers[0].text


def test_chats_take_the_models_defaults_and_the_callers_wishes(embedded: LLM) -> None:
    assert embedded.chat_sampling_params().temperature == 0.0
    assert embedded.chat_sampling_params().max_new_tokens is None
    answer = one(embedded.chat(user("Who are you?"), {"max_new_tokens": 3}))
    assert (answer.num_output_tokens, answer.finish_reason) == (3, FinishReason.LENGTH)


def test_a_last_message_can_be_continued(embedded: LLM) -> None:
    chat = [
        *user("What is the capital of France?"),
        {"role": "assistant", "content": "The capital of"},
    ]
    answer = one(embedded.chat(chat, add_generation_prompt=False, continue_final_message=True))
    assert answer.text == " France is Paris."


def test_a_bad_conversation_is_refused(embedded: LLM) -> None:
    with pytest.raises(RequestError):
        embedded.chat([{"role": "user", "content": 5}])
    with pytest.raises(RequestError, match="messages must be a list .* got str"):
        embedded.chat("hello")  # type: ignore[arg-type]


# -- asyncio ---------------------------------------------------------------------------------------


def test_asynchronous_answers_are_the_same(llm: LLM) -> None:
    expected = [generation.token_ids for generation in many(llm.generate(PROMPTS, GREEDY))]

    async def ask() -> list[Any]:
        return await asyncio.gather(
            llm.async_generate(PROMPTS, GREEDY),
            llm.async_generate(PROMPT, GREEDY),
            *(llm.async_generate([prompt], GREEDY) for prompt in PROMPTS),
        )

    together, single, *lists = asyncio.run(ask())
    assert [generation.token_ids for generation in together] == expected
    assert single.token_ids == expected[0]
    assert [generation.token_ids for (generation,) in lists] == expected


def test_asynchronous_streams_add_up(llm: LLM) -> None:
    async def text_of(prompt: str) -> str:
        return "".join([chunk.text async for chunk in llm.async_stream(prompt, GREEDY)])

    async def both() -> list[str]:
        return await asyncio.gather(*(text_of(prompt) for prompt in PROMPTS[:2]))

    expected = [generation.text for generation in many(llm.generate(PROMPTS[:2], GREEDY))]
    assert asyncio.run(both()) == expected


def num_generated(llm: LLM, work: Coroutine[Any, Any, object]) -> int:
    """Tokens that are generated for ``work`` until nothing of it is left."""
    before = llm.stats()["num_output_tokens"]
    asyncio.run(work)
    for thread in threading.enumerate():
        if thread.name == "async-call":
            thread.join(WAIT_S)
    return llm.stats()["num_output_tokens"] - before


def test_cancelling_aborts(llm: LLM) -> None:
    async def cancel_after_a_token() -> None:
        started = asyncio.Event()

        async def follow() -> None:
            async for _ in llm.async_stream(PROMPT, ENDLESS):
                started.set()

        tasks = [
            asyncio.create_task(follow()),
            asyncio.create_task(llm.async_generate(PROMPTS, ENDLESS)),
        ]
        await asyncio.wait_for(started.wait(), WAIT_S)
        for task in tasks:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    assert num_generated(llm, cancel_after_a_token()) < 5 * 900


def test_leaving_an_asynchronous_stream_aborts_even_as_the_loop_ends(llm: LLM) -> None:
    async def first() -> str:
        stream = llm.async_stream(PROMPT, ENDLESS)
        async for chunk in stream:
            return chunk.text
        raise AssertionError("the stream was empty")

    assert num_generated(llm, first()) < 900


def test_asynchronous_errors_arrive(llm: LLM) -> None:
    with pytest.raises(RequestError, match="empty"):
        asyncio.run(llm.async_generate([PROMPT, ""], GREEDY))


# -- options of a request --------------------------------------------------------------------------


def test_a_timeout_ends_the_request_with_what_it_has(llm: LLM) -> None:
    answer = one(llm.generate(PROMPT, ENDLESS, timeout_s=0.1))
    assert answer.finish_reason is FinishReason.ABORT
    assert "deadline" in str(answer.message)
    assert answer.num_output_tokens < 900


def test_salts_share_nothing(llm: LLM) -> None:
    prompt = [7, *range(100, 180)]
    cached = [
        one(llm.generate(prompt, GREEDY, cache_salt=salt)).num_cached_tokens
        for salt in ("alice", "bob", "alice", None)
    ]
    assert cached == [0, 0, 80, 0]


def test_a_prefix_can_be_inserted_pinned_and_unpinned(llm: LLM) -> None:
    prompt = [9, *range(200, 263)]
    done = llm.insert_prefix(prompt, pin=True)
    assert (done.num_output_tokens, done.text) == (0, "")
    assert llm.stats()["cache_num_pinned_prefixes"] == 1
    assert llm.flush_cache()
    assert one(llm.generate([*prompt, 5], GREEDY)).num_cached_tokens == 64
    assert llm.unpin_prefix(prompt)
    assert not llm.unpin_prefix(prompt)
    assert llm.flush_cache()
    assert one(llm.generate([*prompt, 5], GREEDY)).num_cached_tokens == 0


def test_the_cache_is_flushed_only_while_nothing_runs(llm: LLM) -> None:
    llm.insert_prefix(PROMPT)
    stream = llm.stream(PROMPT, ENDLESS)
    next(stream)
    assert not llm.flush_cache()
    stream.close()
    assert llm.flush_cache()
    assert llm.stats()["cache_num_cached_tokens"] == 0


def test_stats_count(llm: LLM) -> None:
    before = llm.stats()
    answers = many(llm.generate(PROMPTS, GREEDY))
    after = llm.stats()
    gained = {name: after[name] - before[name] for name in after}
    assert gained["num_finished_requests"] == 4
    assert gained["num_output_tokens"] == 64
    assert gained["num_prompt_tokens"] == sum(answer.num_prompt_tokens for answer in answers)
    assert gained["num_cached_tokens"] == sum(answer.num_cached_tokens for answer in answers)


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompts", "sampling", "options", "message"),
    [
        ([PROMPT, ""], GREEDY, {}, "empty"),
        ([PROMPT, [1, 99999]], GREEDY, {}, "99,999"),
        ([PROMPT, [1] * 5000], GREEDY, {}, "5,000 tokens"),
        ([PROMPT, PROMPT], [GREEDY], {}, "1 sampling_params for 2 prompts"),
        ([PROMPT, PROMPT], [GREEDY, {"temperature": -1}], {}, "temperature"),
        (PROMPT, {"temprature": 1}, {}, "temperature"),
        (PROMPT, {**GREEDY, "max_new_tokens": 2000}, {}, "max_new_tokens"),
        (PROMPT, {**GREEDY, "stop_regex": "(a"}, {}, "stop_regex"),
        (PROMPT, GREEDY, {"cache_sold": "x"}, "unknown option 'cache_sold'"),
        (PROMPT, GREEDY, {"logprob_start_len": 500}, "logprob_start_len"),
        (PROMPT, GREEDY, {"top_logprobs_num": 21}, "top_logprobs_num"),
        (PROMPT, GREEDY, {"token_ids_logprob": "3"}, "token_ids_logprob"),
        (PROMPT, GREEDY, {"priority": "high"}, "priority"),
        (5, GREEDY, {}, "prompts must be text, .* got int"),
        ((1, 2), GREEDY, {}, "prompts must be text, .* got tuple"),
        (PROMPT, None, {"temperature": 0.5}, "temperature is a sampling parameter"),
        (None, GREEDY, {}, "prompt"),
        ([None], GREEDY, {}, "prompt"),
        ([[1.5]], GREEDY, {}, "prompt"),
    ],
)
def test_a_bad_request_is_refused_before_anything_runs(
    llm: LLM, prompts: Any, sampling: Any, options: dict[str, Any], message: str
) -> None:
    before = llm.stats()
    with pytest.raises(RequestError, match=message):
        llm.generate(prompts, sampling, **options)
    assert llm.stats() == before


def test_scoring_from_nothing_is_refused(llm: LLM) -> None:
    with pytest.raises(RequestError, match="empty"):
        llm.score("", ["a"])


def test_an_unknown_option_of_the_engine_names_the_nearest(model_dir: str) -> None:
    with pytest.raises(ConfigError, match=r"page_sise.*page_size"):
        LLM(model_dir, page_sise=16)


# -- life ------------------------------------------------------------------------------------------


def test_after_the_block_the_engine_is_gone(model_dir: str) -> None:
    with LLM(model_dir, max_total_tokens=2048, max_in_flight=2) as llm:
        answer = one(llm.generate(PROMPT, GREEDY))
        threads = {thread.name for thread in threading.enumerate()}
    assert answer.num_output_tokens == 16
    assert any(name.startswith("executor") for name in threads)
    assert not any(thread.name.startswith("executor") for thread in threading.enumerate())
    for call in (llm.stats, lambda: llm.generate(PROMPT), lambda: list(llm.stream(PROMPT))):
        with pytest.raises(EngineDeadError, match="closed"):
            call()
    llm.close()


def test_a_dropped_object_stops_its_engine(model_dir: str) -> None:
    before = set(threading.enumerate())
    llm = LLM(model_dir, max_total_tokens=2048)
    assert set(threading.enumerate()) - before
    del llm
    gc.collect()
    assert not set(threading.enumerate()) - before


def test_a_stream_keeps_the_engine_of_a_dropped_object(model_dir: str) -> None:
    before = set(threading.enumerate())
    chunks = list(LLM(model_dir, max_total_tokens=2048).stream(PROMPT, GREEDY))
    assert chunks[-1].finished is not None
    assert chunks[-1].finished.finish_reason is FinishReason.LENGTH
    gc.collect()
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize("max_in_flight", [2, 3])
def test_overlap_changes_no_answer(llm: LLM, model_dir: str, max_in_flight: int) -> None:
    stop = stop_in(one(llm.generate(PROMPT, {**GREEDY, "max_new_tokens": 40})).text)
    settings = [
        {**GREEDY, "max_new_tokens": 30},
        {**GREEDY, "max_new_tokens": 40, "stop": stop},
        {"temperature": 1.0, "max_new_tokens": 20, "sampling_seed": 3, "frequency_penalty": 0.5},
        {**GREEDY, "max_new_tokens": 1},
    ]
    prompts = [PROMPT, *PROMPTS[:3]]
    expected = many(llm.generate(prompts, settings, return_logprob=True))
    with LLM(model_dir, max_total_tokens=2048, max_in_flight=max_in_flight) as overlapped:
        answers = many(overlapped.generate(prompts, settings, return_logprob=True))
    for answer, other in zip(expected, answers, strict=True):
        assert (answer.token_ids, answer.text) == (other.token_ids, other.text)
        assert (answer.finish_reason, answer.matched) == (other.finish_reason, other.matched)
        assert answer.logprobs is not None and other.logprobs is not None
        values = [entry.logprob for entry in answer.logprobs]
        assert [entry.logprob for entry in other.logprobs] == pytest.approx(values, abs=1e-4)


def test_several_threads_may_ask_at_once(llm: LLM) -> None:
    expected = [one(llm.generate(prompt, GREEDY)).text for prompt in PROMPTS]
    answers: dict[int, list[str]] = {}

    def ask(number: int) -> None:
        texts = [one(llm.generate(PROMPTS[number], GREEDY)).text for _ in range(3)]
        texts.append("".join(chunk.text for chunk in llm.stream(PROMPTS[number], GREEDY)))
        answers[number] = texts

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert answers == {number: [text] * 4 for number, text in enumerate(expected)}


def test_more_prompts_than_fit_the_queue_are_all_answered(llm: LLM, model_dir: str) -> None:
    expected = [generation.token_ids for generation in many(llm.generate(PROMPTS, GREEDY))]
    options = {"max_queued_requests": 1, "max_running_requests": 2, "max_total_tokens": 2048}
    with LLM(model_dir, **options) as small:
        answers = many(small.generate(PROMPTS * 3, GREEDY))
    assert [answer.token_ids for answer in answers] == expected * 3


def test_closing_ends_what_others_wait_for(model_dir: str) -> None:
    llm = LLM(model_dir, max_total_tokens=4096)
    reasons: list[FinishReason] = []
    streaming = threading.Event()

    def follow() -> None:
        for chunk in llm.stream(PROMPT, ENDLESS):
            streaming.set()
            if chunk.finished is not None:
                reasons.append(chunk.finished.finish_reason)

    thread = threading.Thread(target=follow)
    thread.start()
    assert streaming.wait(WAIT_S)
    llm.close()
    thread.join(WAIT_S)
    assert reasons == [FinishReason.ABORT]


# -- without a tokenizer ---------------------------------------------------------------------------


def test_without_a_tokenizer_there_are_ids_and_nothing_else(llm: LLM, model_dir: str) -> None:
    assert llm.tokenizer is not None
    ids = llm.tokenizer.encode(PROMPT)
    expected = one(llm.generate(ids, GREEDY)).token_ids
    with LLM(model_dir, skip_tokenizer_init=True, max_total_tokens=2048) as bare:
        answer = one(bare.generate(ids, GREEDY))
        assert (answer.token_ids, answer.text) == (expected, "")
        stopped = one(bare.generate(ids, {"temperature": 0.0, "stop_token_ids": expected[3:4]}))
        assert stopped.token_ids == expected[: expected.index(expected[3]) + 1]
        for refused in (
            lambda: bare.generate(PROMPT),
            lambda: bare.generate(ids, {"stop": "x"}),
            lambda: bare.chat(user("hello")),
            lambda: bare.score("a", ["b"]),
            lambda: bare.insert_prefix(PROMPT),
        ):
            with pytest.raises(RequestError, match="skip_tokenizer_init"):
                refused()
