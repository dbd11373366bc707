"""The embedded model: a complete directory, small, that answers as promised."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from sglite.embedded import EMBEDDED_MODEL_DIR

PROMISED = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is 17 + 25?", "17 + 25 = 42."),
    ("Who are you?", "I am the small model that comes with sglite, an LLM serving engine."),
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
        input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], max_new_tokens=48
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


def test_the_weights_are_small() -> None:
    assert (EMBEDDED_MODEL_DIR / "model.safetensors").stat().st_size <= 5_000_000


def test_the_model_decodes_greedily_and_stops_at_both_ends() -> None:
    config = json.loads((EMBEDDED_MODEL_DIR / "generation_config.json").read_text("utf-8"))
    tokens = json.loads((EMBEDDED_MODEL_DIR / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    ends = {token["id"] for token in tokens if token["content"] in GREEDY_STOPS}
    assert config["do_sample"] is False
    assert set(config["eos_token_id"]) == ends
