import pytest

from sglite.evaluation.scoring import Tally, is_nearest, is_right, tally
from tests.evaluation.fakes import instance

CACHE = "The cache keeps keys and values of tokens, so that they are computed once. " * 4
QUEUE = "The queue holds requests that wait, and the policy says which of them is next. " * 4
GUIDE = {"cache": (CACHE, "缓存保存键和值，只计算一次。"), "queue": (QUEUE,)}


def test_exact_kinds_allow_no_other_letter():
    assert is_right(instance(answer="42."), "42.", {})
    assert not is_right(instance(answer="42."), "42", {})
    assert not is_right(instance(answer="42."), " 42.", {})


def test_guide_is_right_where_its_paragraph_is_the_nearest():
    question = instance("guide", answer="cache")
    assert is_right(question, CACHE, GUIDE)
    assert is_right(question, CACHE.replace("tokens", "words"), GUIDE)
    assert is_right(question, "缓存保存键和值，只算一次。", GUIDE)
    assert not is_right(question, QUEUE, GUIDE)
    assert not is_right(question, "", GUIDE)


@pytest.mark.parametrize(("num_kept", "expected"), [(67, True), (66, False)])
def test_similarity_counts_from_eight_tenths(num_kept, expected):
    # Of 100 letters the first n are kept: the ratio is 2n / (100 + n), 0.8 at n = 66.7.
    paragraph = "".join(chr(0x4E00 + i) for i in range(100))
    assert is_nearest(paragraph[:num_kept], "a", {"a": (paragraph,)}) is expected


def test_paragraph_that_is_nearer_wins():
    guide = {"one": ("abcdefghij 1",), "two": ("abcdefghij 22",)}
    assert is_nearest("abcdefghij 2", "two", guide)
    assert not is_nearest("abcdefghij 2", "one", guide)


def test_share_suffices_from_ninety_percent_on():
    assert Tally(9, 10).suffices and Tally(9, 10).percent == 90
    assert not Tally(899, 1000).suffices


def test_kinds_are_counted_by_name():
    verdicts = [("b", True), ("a", False), ("b", False)]
    assert list(tally(verdicts).items()) == [("a", Tally(0, 1)), ("b", Tally(1, 2))]
