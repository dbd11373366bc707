"""What stands beside tokenizer.json is read in both layouts, and damage is named."""

import json
from pathlib import Path

import pytest

from sglite.errors import ModelLoadError
from sglite.tokenizer.files import read_tokenizer_files


def write(directory: Path, **contents: object) -> Path:
    for name, content in contents.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def refused(directory, message, chat_template_file=None):
    with pytest.raises(ModelLoadError, match=message) as info:
        read_tokenizer_files(directory, chat_template_file)
    assert "\n" not in str(info.value)


def test_missing_directory_and_file_in_its_place_are_refused(tmp_path):
    refused(tmp_path / "no", "no does not exist")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "file is not a directory")


@pytest.mark.parametrize("name", ["tokenizer_config", "config", "generation_config"])
@pytest.mark.parametrize("content", ["{", "[]", "\udcff", "[" * 100_000])
def test_broken_json_beside_it_is_refused(tmp_path, name, content):
    (tmp_path / f"{name}.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    refused(tmp_path, rf"{name}.json: (not valid JSON|holds a JSON list|cannot be read)")


@pytest.mark.parametrize(
    "config",
    [
        {"eos_token": {"content": 3}},
        {"bos_token": {}},
        {"added_tokens_decoder": {"x": {"content": "a"}}},
        {"added_tokens_decoder": []},
        {"added_tokens_decoder": {"1": 3}},
        {"chat_template": 3},
        {"chat_template": [{"name": "default"}]},
        {"additional_special_tokens": [1]},
    ],
)
def test_damaged_tokenizer_config_is_refused(tmp_path, config):
    refused(write(tmp_path, tokenizer_config=config), r"tokenizer_config.json: ")


def test_an_empty_directory_says_nothing(tmp_path):
    files = read_tokenizer_files(tmp_path, None)
    assert files.named_tokens == files.templates == files.config == {}
    assert files.eos_token_ids == frozenset()


def test_tokens_are_strings_or_objects_with_flags(tmp_path):
    config = {
        "bos_token": "<s>",
        "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": True, "special": True},
        "pad_token": None,
        "add_bos_token": True,
        "extra_special_tokens": {"image_token": "<img>"},
    }
    named = read_tokenizer_files(write(tmp_path, tokenizer_config=config), None).named_tokens
    assert named == {
        "bos_token": {"content": "<s>", "special": True},
        "eos_token": {"content": "</s>", "special": True, "lstrip": True},
        "image_token": {"content": "<img>", "special": True},
    }


def test_added_tokens_come_in_the_order_of_their_ids(tmp_path):
    decoder = {"10": {"content": "b"}, "9": {"content": "a", "special": True}}
    config = {"added_tokens_decoder": decoder, "additional_special_tokens": ["c"]}
    added = read_tokenizer_files(write(tmp_path, tokenizer_config=config), None).added_tokens
    assert [(spec["content"], spec["special"]) for spec in added] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]


@pytest.mark.parametrize(
    ("value", "ids"), [(3, {3}), ([3, 4], {3, 4}), (None, set()), ("3", set()), ([True, -1], set())]
)
def test_eos_ids_are_an_id_or_a_list(tmp_path, value, ids):
    write(tmp_path, generation_config={"eos_token_id": value}, config={"eos_token_id": value})
    assert read_tokenizer_files(tmp_path, None).eos_token_ids == ids


def test_template_files_win_over_the_config_and_the_operators_over_both(tmp_path):
    def default(chat_template_file=None):
        return read_tokenizer_files(tmp_path, chat_template_file).templates["default"]

    write(tmp_path, chat_template={"chat_template": "json"})
    assert default() == "json"
    write(tmp_path, tokenizer_config={"chat_template": "config"})
    assert default() == "config"
    (tmp_path / "chat_template.jinja").write_text("file")
    assert default() == "file"
    (tmp_path / "mine.jinja").write_text("mine")
    assert default(str(tmp_path / "mine.jinja")) == "mine"
    write(tmp_path, mine={"chat_template": "mine too"})
    assert default(str(tmp_path / "mine.json")) == "mine too"
    refused(tmp_path, "no.jinja does not exist", str(tmp_path / "no.jinja"))
    refused(write(tmp_path, mine={}), "has no string 'chat_template'", str(tmp_path / "mine.json"))
