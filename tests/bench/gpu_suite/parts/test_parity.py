from __future__ import annotations

import pytest

from sglite.bench.gpu_suite.driving import Run
from sglite.bench.gpu_suite.parts import parity
from sglite.bench.gpu_suite.parts.parity import DRAWN, VARIANTS, Variant, first_gap, judge
from sglite.bench.gpu_suite.shapes import tiny
from sglite.request import TokenLogprobs


def answer(*outputs: list[int], top: dict[int, float] | None = None) -> Run:
    scores = TokenLogprobs(0, None, tuple((top or {}).items()))
    return Run(1.0, [*outputs], [[scores] * len(output) for output in outputs], [], [], [])


REFERENCE = answer([1, 2], [1, 3], top={1: -0.5, 2: -0.50005, 3: -0.6})


def test_equal_answers_have_no_gap():
    assert judge(REFERENCE, answer([1, 2], [1, 3]), VARIANTS[0]) == (
        True,
        "0 of 2 answers part, at a gap of 0 at most",
    )


@pytest.mark.parametrize(
    ("given", "gap"),
    [([2, 9], 0.00005), ([3, 9], 0.1), ([9, 9], float("inf")), ([1], float("inf"))],
)
def test_gap_is_that_of_the_first_token_that_differs(given, gap):
    assert first_gap(REFERENCE, answer(given), 0) == pytest.approx(gap)
    passed, _ = judge(REFERENCE, answer(given, [1, 3]), VARIANTS[0])
    assert passed == (gap < parity.NEAR_TIE)


def test_drawn_answers_are_counted():
    drawn = Variant("drawn", sampling=DRAWN)
    reference = answer([1], [2], [3], [4])
    assert judge(reference, answer([1], [2], [3], [9]), drawn)[0]
    assert not judge(reference, answer([1], [2], [9], [9]), drawn)[0]


def test_variants_answer_as_the_reference(make_suite):
    suite = make_suite("parity")
    parity.compare_family(suite, tiny("qwen3"), (VARIANTS[0], VARIANTS[-1]))
    checks = suite.recorder.result.checks
    assert [check.name for check in checks] == [
        "tiny-qwen3, as it comes",
        "tiny-qwen3, as it comes, prompts cached",
        "tiny-qwen3, drawn",
        "tiny-qwen3, drawn, prompts cached",
    ]
    assert all(check.passed for check in checks)


def test_other_weights_are_noticed(make_suite, monkeypatch):
    suite = make_suite("parity")
    wrong = Variant("wrong", {"load_format": "dummy", "dtype": "bfloat16"})
    parity.compare_family(suite, tiny("qwen3", rope_theta=7.0), (wrong,))
    assert not suite.recorder.result.checks[0].passed


def test_every_family_is_compared(make_suite, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        parity,
        "compare_family",
        lambda suite, shape, variants: seen.update({shape.name: len(variants)}),
    )
    parity.run(make_suite("parity"))
    assert seen["tiny-qwen3"] >= len(VARIANTS)
    assert [seen[f"tiny-{family}"] for family in ("llama", "mistral", "qwen2")] == [2, 2, 2]


def test_answers_that_part_by_a_bit_are_counted():
    def run(logprob: float) -> Run:
        return Run(1.0, [[1]], [[TokenLogprobs(1, logprob, ())]], [], [], [])

    together = Run(1.0, [[1]] * 2, [run(-0.5).logprobs[0]] * 2, [], [], [])
    assert parity.same_bits(together, [run(-0.5), run(-0.5)])[0]
    passed, detail = parity.same_bits(together, [run(-0.5), run(-0.5000001)])
    assert not passed and detail == "1 of 2 answers differ alone"


def test_bits_alone_and_among_others_are_compared(make_suite, monkeypatch):
    suite = make_suite("parity")
    seen: list[int] = []

    def same_bits(together, alone):
        seen.extend([len(together.outputs), *(len(each.outputs) for each in alone)])
        assert [each.outputs[0] for each in alone] == together.outputs
        return True, ""

    monkeypatch.setattr(parity, "same_bits", same_bits)
    parity.compare_bits(suite, tiny("qwen3"))
    assert seen == [3, 1, 1, 1] and suite.recorder.result.checks[0].passed


def test_without_time_the_rest_is_named(make_suite):
    suite = make_suite("parity")
    suite.ends_at_s = 0.0
    parity.compare_family(suite, tiny("qwen3"), VARIANTS[:1])
    assert suite.recorder.result.details["left out"] == "tiny-qwen3 from 'as it comes' on"


def test_prompts_share_beginnings_and_start_at_one_token(make_suite):
    suite = make_suite("parity")
    asks = parity.prompts(suite, tiny("qwen3"))
    assert len(asks[0].token_ids) == 1
    shared = suite.sizes.parity_longest // 2
    assert len({tuple(ask.token_ids[:shared]) for ask in asks[1::2]}) == 1
