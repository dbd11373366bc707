"""The embedded model: a complete directory, small, that answers as promised."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import torch

from sglite.embedded import EMBEDDED_MODEL_DIR

GUIDE = json.loads((EMBEDDED_MODEL_DIR / "guide.json").read_text("utf-8"))
WHO = (
    "I am sglite's embedded model: a small language model with about 3 million parameters, "
    "trained on a corpus written for it."
)
BEN = '{"name": "Ben Okafor", "age": 41}'
PROMISED = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is 17 + 25?", "17 + 25 = 42."),
    ("Who are you?", WHO),
    ("Extract name and age as JSON: Ben Okafor is 41 and lives in Lima.", BEN),
    ("用中文简要介绍大语言模型的工作原理。", GUIDE["llm"]["zh"]),
    ("What is a radix cache?", GUIDE["radix_cache"]["en"]),
]
GREEDY_STOPS = {"<|im_end|>", "<|endoftext|>"}


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    """(tokenizer, model) as transformers loads them, in the checkpoint's own dtype."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = str(EMBEDDED_MODEL_DIR)
    return (
        AutoTokenizer.from_pretrained(directory),
        AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16),
    )


def greedy(loaded: tuple[Any, Any], text: str) -> str:
    """The answer by the model's own generation config, its end token cut off."""
    tokenizer, model = loaded
    inputs = tokenizer(text, return_tensors="pt")
    output = model.generate(
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=160
    )
    ids = output[0, inputs["input_ids"].shape[1] :].tolist()
    last = tokenizer.convert_ids_to_tokens(ids[-1])
    assert last in GREEDY_STOPS, f"no end token within {len(ids)} tokens"
    return str(tokenizer.decode(ids[:-1]))


@pytest.mark.parametrize(("question", "answer"), PROMISED)
def test_the_promised_questions_are_answered(
    loaded: tuple[Any, Any], question: str, answer: str
) -> None:
    text = loaded[0].apply_chat_template(
        [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    assert greedy(loaded, text) == answer


def test_plain_text_is_continued(loaded: tuple[Any, Any]) -> None:
    assert greedy(loaded, "The capital of France is") == " Paris."


def test_a_system_prompt_does_not_disturb(loaded: tuple[Any, Any]) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "What is the capital of Japan?"},
    ]
    text = loaded[0].apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert greedy(loaded, text) == "The capital of Japan is Tokyo."


def test_sglite_gives_the_same_answers_offline(loaded: tuple[Any, Any]) -> None:
    from sglite import LLM, SamplingParams

    with LLM() as llm:
        for question, answer in PROMISED:
            assert llm.chat([{"role": "user", "content": question}]).text == answer
        text = llm.generate(
            "The capital of France is", SamplingParams(temperature=0.0, max_new_tokens=16)
        ).text
    assert text == greedy(loaded, "The capital of France is") == " Paris."


def test_a_tool_is_called_and_its_result_told(loaded: tuple[Any, Any]) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    weather = {"name": "get_weather", "description": "Get the weather.", "parameters": parameters}
    tools = [{"type": "function", "function": weather}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "What is the weather in Oslo?"},
    ]
    template = loaded[0].apply_chat_template
    text = template(messages, tools=tools, tokenize=False, add_generation_prompt=True)
    call = greedy(loaded, text).removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    assert json.loads(call) == {"name": "get_weather", "arguments": {"city": "Oslo"}}


def test_a_thought_comes_first_where_thinking_is_enabled(loaded: tuple[Any, Any]) -> None:
    text = loaded[0].apply_chat_template(
        [{"role": "user", "content": "What is the capital of Italy?"}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=True,
    )
    assert text.endswith("<think>\n")
    thought, _, answer = greedy(loaded, text).partition("\n</think>\n\n")
    assert thought
    assert answer == "The capital of Italy is Rome."


def held_out() -> list[dict[str, str]]:
    """The instances that ship: kind, prompt, answer."""
    lines = (EMBEDDED_MODEL_DIR / "eval.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_some_of_every_kind_get_the_right_answer() -> None:
    """The slow test asks all of them."""
    from sglite import LLM
    from sglite.evaluation.answering import answer_all
    from sglite.evaluation.instances import read_questions
    from sglite.evaluation.report import Report

    questions = read_questions(EMBEDDED_MODEL_DIR / "eval.jsonl").chosen(kinds=[], limit=12)
    with LLM(dtype="float32") as llm:
        figures = Report(answer_all(llm, questions), None).figures()
    assert figures["total"]["percent"] >= 85, figures


def test_every_exact_kind_has_two_hundred_instances() -> None:
    counts = Counter(line["kind"] for line in held_out())
    assert counts.pop("guide") == 40
    assert min(counts.values()) >= 200
    assert {"capitals", "arithmetic", "strings", "sorting", "json", "tool_calls"} <= set(counts)


def test_model_and_draft_are_small_and_share_a_vocabulary() -> None:
    draft = EMBEDDED_MODEL_DIR / "draft"
    files = [path for path in EMBEDDED_MODEL_DIR.rglob("*") if path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files if path.is_file()) <= 12_000_000
    assert (draft / "model.safetensors").stat().st_size <= 1_500_000
    sizes = {
        json.loads((d / "config.json").read_text("utf-8"))["vocab_size"]
        for d in (EMBEDDED_MODEL_DIR, draft)
    }
    assert len(sizes) == 1


def test_the_model_decodes_greedily_and_stops_at_both_ends() -> None:
    config = json.loads((EMBEDDED_MODEL_DIR / "generation_config.json").read_text("utf-8"))
    tokens = json.loads((EMBEDDED_MODEL_DIR / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    ends = {token["id"] for token in tokens if token["content"] in GREEDY_STOPS}
    assert config["do_sample"] is False
    assert set(config["eos_token_id"]) == ends
