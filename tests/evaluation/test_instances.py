import json

import pytest

from sglite.errors import ConfigError
from sglite.evaluation.instances import Instance, read_guide, read_questions
from tests.evaluation.fakes import write_lines

GOOD = '{"kind": "sums", "prompt": "1+1=", "answer": "2"}'


def line(kind, prompt="p", answer="a"):
    return json.dumps({"kind": kind, "prompt": prompt, "answer": answer})


def write_guide(folder, entries):
    return write_lines(folder / "guide.json", json.dumps(entries))


def test_lines_keep_their_numbers_and_their_order(tmp_path):
    path = write_lines(tmp_path / "q.jsonl", GOOD, "", line("words", "say \u2028", "東京"))
    assert read_questions(path).instances == [
        Instance(line=1, kind="sums", prompt="1+1=", answer="2"),
        Instance(line=3, kind="words", prompt="say \u2028", answer="東京"),
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{oops", r"line 2: not JSON: Expecting property name"),
        ("[1]", "line 2: a JSON object is expected, not list"),
        ('{"kind": "sums", "prompt": "1"}', "line 2: answer is missing; it needs kind, prompt"),
        ('{"kind": "sums", "prompt": "1", "answer": 2}', "line 2: answer must be a text"),
        ('{"kind": "", "prompt": "1", "answer": "2"}', "line 2: kind must be a text that is not"),
    ],
)
def test_bad_line_is_named_with_what_is_wrong(tmp_path, bad, message):
    path = write_lines(tmp_path / "q.jsonl", GOOD, bad)
    with pytest.raises(ConfigError, match=message):
        read_questions(path)


def test_file_that_is_missing_empty_or_no_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.jsonl: No such file"):
        read_questions(tmp_path / "gone.jsonl")
    with pytest.raises(ConfigError, match="has no instances"):
        read_questions(write_lines(tmp_path / "empty.jsonl", ""))
    (tmp_path / "bytes.jsonl").write_bytes(b'{"kind": "\xff"}')
    with pytest.raises(ConfigError, match="not UTF-8 at byte 10"):
        read_questions(tmp_path / "bytes.jsonl")


def test_guide_lies_beside_the_file_and_is_read_where_needed(tmp_path):
    assert read_questions(write_lines(tmp_path / "a.jsonl", GOOD)).guide == {}
    path = write_lines(tmp_path / "q.jsonl", line("guide", answer="token"))
    with pytest.raises(ConfigError, match=r"guide\.json: No such file"):
        read_questions(path)
    write_guide(tmp_path, {"token": {"en": "A token is.", "zh": "词元是。"}})
    assert read_questions(path).guide == {"token": ("A token is.", "词元是。")}


def test_unknown_paragraph_is_a_bad_line(tmp_path):
    write_guide(tmp_path, {"token": {"en": "A token is."}})
    path = write_lines(tmp_path / "q.jsonl", GOOD, line("guide", answer="tokens"))
    with pytest.raises(ConfigError, match=r"line 2: .*guide\.json has no paragraph 'tokens'"):
        read_questions(path)


@pytest.mark.parametrize("entry", ["text", {}, {"en": ""}, {"en": 1}])
def test_bad_guide_is_refused_by_the_name_of_the_paragraph(tmp_path, entry):
    with pytest.raises(ConfigError, match="'token' must be an object of texts"):
        read_guide(write_guide(tmp_path, {"token": entry}))


def test_choice_takes_the_first_of_each_kind(tmp_path):
    rows = [line(kind, prompt=str(i)) for i, kind in enumerate("aabbab")]
    questions = read_questions(write_lines(tmp_path / "q.jsonl", *rows))
    assert questions.chosen() == questions
    assert [each.prompt for each in questions.chosen(limit=1).instances] == ["0", "2"]
    assert [each.prompt for each in questions.chosen(kinds=["b"], limit=2).instances] == ["2", "3"]
    with pytest.raises(ConfigError, match=r"has no kind 'c'; choose from a, b"):
        questions.chosen(kinds=["a", "c"])
