from __future__ import annotations

from typing import Any

import httpx
import pytest

from sglite.errors import RequestError
from sglite.server.front import Front
from sglite.server.openai.completions import read_prompts
from tests.server.fake_engine import embedded_tokenizer
from tests.server.openai_calls import COMPLETIONS, complete, hello_world, post, refused, with_server

END = 0


def ids(text: str) -> list[int]:
    return embedded_tokenizer().encode(text)


def test_the_body_has_everything_a_client_may_read():
    answer = complete({"model": "m"}, hello_world)
    assert answer.pop("id").startswith("cmpl-")
    assert answer.pop("created") > 1_700_000_000
    assert answer == {
        "object": "text_completion",
        "model": "m",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "text": " world wide",
                "logprobs": None,
                "finish_reason": "stop",
                "matched_stop": END,
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 4,
            "total_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "reasoning_tokens": 0,
        },
        "metadata": {"weight_version": "default"},
    }


def test_sixteen_tokens_unless_the_call_says_otherwise():
    assert complete({})["usage"]["completion_tokens"] == 16
    answer = complete({"max_tokens": 3})
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["matched_stop"] is None


def test_ignore_eos_runs_to_the_limit():
    answer = complete({"ignore_eos": True, "max_tokens": 20, "temperature": 0.0}, hello_world)
    assert answer["usage"]["completion_tokens"] == 20
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_stop_string_is_cut_and_named_in_both_spellings():
    [choice] = complete({"stop": ["wid"]}, hello_world)["choices"]
    assert choice["text"] == " world "
    assert choice["finish_reason"] == "stop"
    assert choice["matched_stop"] == choice["stop_reason"] == "wid"


def test_a_stop_token_is_named_where_it_is_not_the_models_own_end():
    token_id = ids(" world wide")[2]
    [choice] = complete({"stop_token_ids": [token_id]}, hello_world)["choices"]
    assert choice["matched_stop"] == choice["stop_reason"] == token_id


FOUR_FORMS = {
    "a text": ("hello", 1),
    "texts": (["hello", "hello there"], 2),
    "ids": (ids("hello"), 1),
    "lists of ids": ([ids("hello"), ids("hello there")], 2),
}


@pytest.mark.parametrize("form", FOUR_FORMS)
def test_a_prompt_has_four_forms(form):
    prompt, num_answers = FOUR_FORMS[form]
    answer = complete({"prompt": prompt, "max_tokens": 2})
    assert [choice["index"] for choice in answer["choices"]] == list(range(num_answers))
    num_prompt_tokens = len(ids("hello")) + (len(ids("hello there")) if num_answers == 2 else 0)
    assert answer["usage"]["prompt_tokens"] == num_prompt_tokens
    assert answer["usage"]["completion_tokens"] == 2 * num_answers


def test_samples_of_a_prompt_stand_side_by_side():
    def prepare(front: Front) -> None:
        front.engine.script("a", " one")
        front.engine.script("b", " two")

    answer = complete({"prompt": ["a", "b"], "n": 2}, prepare)
    texts = [choice["text"] for choice in answer["choices"]]
    assert texts == [" one", " one", " two", " two"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["prompt_tokens"] == len(ids("a")) + len(ids("b"))
    assert answer["usage"]["completion_tokens"] == 2 * len(ids(" one")) + 2 * len(ids(" two")) + 4


BAD_PROMPTS = [
    None, "", [], {}, 5, True, [""], [[]], ["a", 5], ["a", [5]], [5, "a"], [[5], 5], [None], [{}],
    [-1], [4096], [2**31], [2**63], [10**20], [1.5], [True], ["a"] * 257, [5] * 1024, "a " * 5000,
    "x" * (1 << 20),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_prompt_is_a_400_that_names_it(stream):
    async def use(http: httpx.AsyncClient, front: Front) -> None:
        for prompt in BAD_PROMPTS:
            answer = await http.post(COMPLETIONS, json={"prompt": prompt, "stream": stream})
            assert answer.status_code == 400, (str(prompt)[:50], answer.text)
            assert answer.json()["error"]["param"] == "prompt", answer.text
        assert not front.engine.requests

    with_server(use)


def test_a_prompt_may_fill_the_context_but_for_one_token():
    answer = complete({"prompt": [5] * 1023, "max_tokens": 1})
    assert answer["usage"]["total_tokens"] == 1024
    error = refused(COMPLETIONS, {"prompt": [5] * 1023, "max_tokens": 2})
    assert error["param"] == "max_tokens"


def test_strange_characters_in_a_prompt_are_text():
    for text in ("\x00", "\ufeffhello", "\U0001f642", "a\r\nb"):
        assert complete({"prompt": text, "max_tokens": 1, "echo": True})["choices"][0][
            "text"
        ].startswith(text)


def test_read_prompts_keeps_what_it_gets():
    assert read_prompts("a") == ["a"]
    assert read_prompts([1, 2]) == [[1, 2]]
    assert read_prompts([[1], [2]]) == [[1], [2]]
    with pytest.raises(RequestError, match="another kind"):
        read_prompts(["a", [1]])


def test_best_of_is_one_or_n():
    assert len(complete({"best_of": 1, "max_tokens": 1})["choices"]) == 1
    assert len(complete({"best_of": 1, "n": 2, "max_tokens": 1})["choices"]) == 2
    assert len(complete({"best_of": 2, "n": 2, "max_tokens": 1})["choices"]) == 2
    for best_of in (2, 0, -1, 1.0, "1", True):
        assert refused(COMPLETIONS, {"best_of": best_of})["param"] == "best_of"


def test_a_suffix_is_refused_and_an_empty_one_is_none():
    assert refused(COMPLETIONS, {"suffix": "the end"})["param"] == "suffix"
    complete({"suffix": "", "max_tokens": 1})
    complete({"suffix": None, "max_tokens": 1})


@pytest.mark.parametrize("value", [-1, 21, 1.5, True, "1", [], {}])
def test_logprobs_is_a_number_up_to_twenty(value):
    assert refused(COMPLETIONS, {"logprobs": value})["param"] == "logprobs"


@pytest.mark.parametrize("field", ["echo", "add_special_tokens"])
def test_flags_are_booleans(field):
    for value in (0, 1, "true", [], {}):
        assert refused(COMPLETIONS, {field: value})["param"] == field


def test_more_answers_than_the_queue_could_ever_hold_are_refused():
    small = {"max_queued_requests": 4, "max_running_requests": 2}
    assert len(complete({"n": 6, "max_tokens": 1}, **small)["choices"]) == 6
    assert refused(COMPLETIONS, {"n": 7}, **small)["param"] == "n"
    assert refused(COMPLETIONS, {"prompt": ["a"] * 4, "n": 2}, **small)["param"] == "n"


def test_bench_servings_payload_passes():
    payload = {
        "model": "m",
        "prompt": "hello",
        "temperature": 0.0,
        "best_of": 1,
        "max_tokens": 4,
        "stream": False,
        "ignore_eos": True,
        "lora_path": None,
        "return_cached_tokens_details": True,
    }

    def prepare(front: Front) -> None:
        hello_world(front)
        front.engine.num_cached_tokens = 2

    answer = complete(payload, prepare)
    assert "ignored_fields" not in answer
    assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    details = answer["sglext"]["cached_tokens_details"]
    assert details == {"device": 2, "host": 0, "storage": 0}


# -- echo and log-probabilities --------------------------------------------------------------------


def test_echo_puts_the_prompt_before_the_answer():
    [choice] = complete({"echo": True}, hello_world)["choices"]
    assert choice["text"] == "hello world wide"
    answer = complete({"prompt": [ids("hello"), ids("so")], "echo": True, "max_tokens": 0})
    assert [choice["text"] for choice in answer["choices"]] == ["hello", "so"]
    assert answer["usage"]["completion_tokens"] == 0


def assert_offsets_point_at_tokens(choice: dict[str, Any]) -> None:
    columns, text = choice["logprobs"], choice["text"]
    assert len({len(columns[name]) for name in ("tokens", "token_logprobs", "text_offset")}) == 1
    for token, offset in zip(columns["tokens"], columns["text_offset"], strict=True):
        if not token.startswith(("<|", "bytes:")):
            assert text[offset : offset + len(token)] == token


def test_logprobs_have_one_entry_per_output_token_the_end_too():
    answer = complete({"logprobs": 0}, hello_world)
    [choice] = answer["choices"]
    assert_offsets_point_at_tokens(choice)
    assert len(choice["logprobs"]["tokens"]) == answer["usage"]["completion_tokens"] == 4
    assert choice["logprobs"]["token_logprobs"] == [-0.5] * 4
    assert choice["logprobs"]["top_logprobs"] is None


def test_scoring_a_prompt_as_lm_eval_does():
    body = {"prompt": [ids("hello there")], "temperature": 0, "logprobs": 1, "seed": 1234}
    answer = complete({**body, "echo": True, "max_tokens": 1})
    [choice] = answer["choices"]
    columns = choice["logprobs"]
    assert_offsets_point_at_tokens(choice)
    assert len(columns["tokens"]) == len(ids("hello there")) + 1
    assert columns["token_logprobs"][0] is None and columns["top_logprobs"][0] is None
    context = 1
    for taken, top in zip(
        columns["token_logprobs"][context:-1], columns["top_logprobs"][context:-1], strict=True
    ):
        assert taken == max(top.values())


def test_scoring_without_generating():
    [choice] = complete({"echo": True, "max_tokens": 0, "logprobs": 2})["choices"]
    assert choice["text"] == "hello"
    assert len(choice["logprobs"]["tokens"]) == 3
    assert choice["logprobs"]["text_offset"] == [0, 2, 3]
    assert [top and len(top) for top in choice["logprobs"]["top_logprobs"]] == [None, 2, 2]


def test_offsets_of_characters_in_several_tokens():
    def prepare(front: Front) -> None:
        front.engine.script("€ and", " 你好 🙂 end")

    body = {"prompt": "€ and", "echo": True, "logprobs": 0, "max_tokens": 50}
    [choice] = complete(body, prepare)["choices"]
    assert choice["text"] == "€ and 你好 🙂 end"
    assert_offsets_point_at_tokens(choice)
    offsets = choice["logprobs"]["text_offset"]
    assert offsets == sorted(offsets)


def test_offsets_stop_where_a_stop_string_cut_the_text():
    [choice] = complete({"stop": "wid", "logprobs": 0}, hello_world)["choices"]
    assert choice["text"] == " world "
    assert max(choice["logprobs"]["text_offset"]) <= len(choice["text"])


def test_without_a_tokenizer_token_ids_are_completed():
    answer = complete({"prompt": [5, 6], "max_tokens": 2, "logprobs": 1}, skip_tokenizer_init=True)
    assert answer["choices"][0]["text"] == ""
    assert answer["choices"][0]["logprobs"]["tokens"] == ["token_id:5", "token_id:6"]
    answer = post(COMPLETIONS, {"prompt": "text"}, skip_tokenizer_init=True)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "prompt"
