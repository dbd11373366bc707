"""Structural tags in both of their forms."""

import pytest

from sglite.errors import RequestError
from sglite.grammar.structural_tag import (
    AnyText,
    JsonContent,
    Tag,
    TriggeredTags,
    map_contents,
    parse_structural_tag,
)

OLD = {
    "type": "structural_tag",
    "triggers": ["<f"],
    "structures": [{"begin": "<f=a>", "schema": {"type": "null"}, "end": "</f>"}],
}


def new(form: object) -> dict:
    return {"type": "structural_tag", "format": form}


def test_the_old_form_is_triggered_tags():
    content = JsonContent({"type": "null"})
    expected = TriggeredTags(("<f",), (Tag("<f=a>", content, ("</f>",)),), False, False)
    assert parse_structural_tag(OLD) == expected


def test_contents_are_replaced_everywhere():
    tag = {"type": "tag", "begin": "<", "content": {"type": "json_schema"}, "end": [">", "/"]}
    parts = [tag, {"type": "or", "elements": [tag, {"type": "any_text"}]}]
    parts.append({"type": "tags_with_separator", "tags": [tag], "separator": ""})
    parsed = parse_structural_tag(new({"type": "sequence", "elements": parts}))
    seen = []
    changed = map_contents(parsed, lambda content: seen.append(content) or AnyText())
    assert seen == [JsonContent(True)] * 3
    assert not map_contents(changed, lambda content: seen.append(content)) or len(seen) == 3


@pytest.mark.parametrize(
    ("parsed", "message"),
    [
        ([], "has to be an object"),
        ({"type": "x"}, "has to be an object"),
        ({**OLD, "structures": []}, "structures"),
        ({**OLD, "triggers": ["<g"]}, "with which 0 of its triggers"),
        ({**OLD, "triggers": ["<f", "<"]}, "with which 2 of its triggers"),
        ({**OLD, "triggers": [""]}, "trigger"),
        ({**OLD, "at_least_one": 1}, "true or false"),
        ({**OLD, "structures": [{"begin": "<f"}]}, "end"),
        (new(None), "an object has to be"),
        (new({"type": "qwen_xml"}), "'qwen_xml'; possible are any_text"),
        (new({"type": ["a"]}), "possible are"),
        (new({"type": "const_string"}), "value"),
        (new({"type": "json_schema", "style": "xml"}), "style"),
        (new({"type": "regex", "pattern": "("}), "no regular expression"),
        (new({"type": "any_text", "excludes": ["a"]}), "excludes"),
        (new({"type": "tag", "begin": "a", "content": {"type": "any_text"}, "end": 1}), "end"),
    ],
)
def test_bad_tags_are_refused(parsed, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse_structural_tag(parsed)
    assert caught.value.param == "structural_tag"


def test_a_tag_of_neither_kind_is_told_both():
    with pytest.raises(RequestError, match="structures with their triggers, or a format"):
        parse_structural_tag({"type": "structural_tag"})
