"""The evaluator: what counts as right, and as one skill."""

from __future__ import annotations

from training.evaluate import before_end, evaluate, prompt_text, recall_instances

INSTANCES = [
    {"skill": "sums", "is_chat": True, "prompt": "1 + 1", "answer": "1 + 1 = 2."},
    {"skill": "sums", "is_chat": True, "prompt": "2 + 2", "answer": "2 + 2 = 4."},
    {"skill": "text", "is_chat": False, "prompt": "3 + 3 =", "answer": " 6."},
]


class FakeModel:
    """Answers one of the sums, and the text with a letter too much."""

    def complete(self, prompts: list[str]) -> list[str]:
        """The canned answers."""
        canned = {prompt_text(INSTANCES[0]): "1 + 1 = 2.", prompt_text(INSTANCES[2]): " 6. "}
        return [canned.get(prompt, "") for prompt in prompts]


def test_only_the_exact_answer_counts() -> None:
    assert evaluate(FakeModel(), INSTANCES) == {"sums": (1, 2), "text": (0, 1)}


def test_an_answer_ends_at_the_first_special_token() -> None:
    assert before_end("Paris.<|im_end|>\n<|endoftext|>") == "Paris."
    assert before_end("no end") == "no end"


def test_recall_asks_for_every_capital_twice() -> None:
    prompts = [instance["prompt"] for instance in recall_instances()]
    assert len(prompts) == len(set(prompts)) >= 2 * 60
    assert "What is the capital of France?" in prompts
    assert "The capital of France is" in prompts
