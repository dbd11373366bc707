"""Lists of choices."""

import json

import pytest

from sglite.errors import RequestError
from sglite.grammar.expressions import rust_regex
from sglite.grammar.specs import parse_choices


def test_each_choice_is_an_option_once():
    assert rust_regex(parse_choices('["a.", "b", "b"]')) == r"(?:a\x{2E}|b)"


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '["a", 1]', '[""]', json.dumps([str(i) for i in range(1001)])]
)
def test_bad_lists_are_refused(text):
    with pytest.raises(RequestError) as caught:
        parse_choices(text)
    assert caught.value.param == "choice"
