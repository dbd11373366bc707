"""Formats are found by name and by what a chat template shows."""

import json
from pathlib import Path
from typing import get_args

import pytest

import sglite
from sglite.config import ToolCallParserName
from sglite.errors import ConfigError
from sglite.parsing.formats import (
    REASONING_FORMATS,
    TOOL_FORMATS,
    detect_reasoning_format,
    detect_tool_format,
    make_answer_parser,
    markers,
)

EMBEDDED = Path(sglite.__file__).parent / "embedded" / "tokenizer_config.json"


@pytest.mark.parametrize(
    ("template", "tool_format", "reasoning_format"),
    [
        (json.loads(EMBEDDED.read_text())["chat_template"], "hermes", "qwen3"),
        ("<tool_call>\n<function=f>", None, None),
        ("<tool_call>f\n<arg_key>", None, None),
        ("'[TOOL_CALLS] [' + tool", "mistral", None),
        ("'[TOOL_CALLS]' + name + '[ARGS]'", "mistral11", None),
        (
            "'<｜Assistant｜><｜tool▁call▁begin｜>' '```json' '</think>'",
            "deepseekv3",
            "deepseek-r1",
        ),
        ("if thinking '<｜Assistant｜><｜tool▁call▁begin｜>' '</think>'", "deepseekv31", "qwen3"),
        ('<|start_header_id|> {"name": function name, "parameters": dict}', "llama3", None),
        ("'<|python_tag|>'", "llama3", None),
        ("<|header_start|> [func_name1(params_name1=params_value1)]", "pythonic", None),
        ("{{ messages }}", None, None),
    ],
)
def test_template_shows_its_formats(template, tool_format, reasoning_format):
    assert detect_tool_format(template) == tool_format
    assert detect_reasoning_format(template) == reasoning_format


def test_every_name_that_an_option_takes_is_a_format():
    assert set(get_args(ToolCallParserName)) == {"auto", "none", *TOOL_FORMATS}


def test_marks_are_those_of_both_formats():
    assert markers("hermes", "qwen3") == ("<tool_call>", "</tool_call>", "<think>", "</think>")
    assert markers(None, None) == ()
    assert all(markers(name, None) for name in TOOL_FORMATS)
    assert all(markers(None, name) for name in REASONING_FORMATS)


@pytest.mark.parametrize("names", [("nemo", None), (None, "nemo")])
def test_unknown_names_are_refused(names):
    with pytest.raises(ConfigError, match="'nemo'; known: .*3"):
        make_answer_parser(*names, tool_names=())
