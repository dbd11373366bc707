import asyncio

import pytest

from sglite.errors import NotReadyError, RequestError
from sglite.request import SamplingParams
from tests.server.fake_engine import make_front

PROMPT = [5, 6, 7]


def sampling(**params):
    return SamplingParams(**{"max_new_tokens": 3, "ignore_eos": True, **params})


def test_ids_are_random_and_samples_of_a_prompt_are_numbered():
    front = make_front()
    first = front.open_prompt(PROMPT, sampling(n=2), first_index=4)
    second = front.open_prompt(PROMPT, sampling())
    ids = [opened.request.request_id for opened in [*first, *second]]
    assert len(set(ids)) == 3
    assert all(len(each.partition("-")[0]) == 32 for each in ids)
    assert [opened.index for opened in first] == [4, 5]


def test_seeds_differ_between_prompts_and_follow_the_servers():
    def seeds(**options):
        front = make_front(**options)
        return [front.open_prompt(PROMPT, sampling())[0].request.seed for _ in range(3)]

    assert len(set(seeds())) == 3
    assert seeds() == seeds()
    assert seeds() != seeds(random_seed=7)


def test_bad_prompt_is_refused_before_anything_runs():
    front = make_front()
    with pytest.raises(RequestError):
        front.open_prompt([10**6], sampling())
    with pytest.raises(RequestError):
        front.open_prompt([], sampling())
    assert front.engine.requests == []


def test_without_a_tokenizer_answers_are_ids():
    async def main():
        front = make_front(skip_tokenizer_init=True)
        (done,) = await front.answer(front.open_prompt(PROMPT, sampling())).collect()
        return done.text, done.token_ids

    assert asyncio.run(main()) == ("", PROMPT)


def test_stop_strings_are_refused_where_nobody_reads_text():
    front = make_front(skip_tokenizer_init=True)
    with pytest.raises(RequestError, match="skip_tokenizer_init") as refused:
        front.open_prompt(PROMPT, SamplingParams(stop=("x",)))
    assert refused.value.param == "stop"


def test_open_calls_can_be_failed_and_finished_ones_are_left_alone():
    async def main():
        front = make_front()
        finished = front.answer(front.open_prompt(PROMPT, sampling()))
        await finished.collect()
        front.engine.hold = True
        waiting = front.answer(front.open_prompt(PROMPT, sampling()))
        front.fail_open_calls(NotReadyError("the server was stopped"))
        with pytest.raises(NotReadyError):
            await waiting.collect()
        assert front.engine.num_open_requests == 0
        assert await finished.collect() == []

    asyncio.run(main())
