import argparse
import dataclasses

import pytest

from sglite.cli.sampling_flags import (
    HELP,
    MODEL_DEFAULTS,
    add_sampling_arguments,
    given_sampling,
    sampling_params,
)
from sglite.errors import ConfigError
from sglite.models.generation_config import GenerationDefaults
from sglite.request import SamplingParams

FIELDS = [field.name for field in dataclasses.fields(SamplingParams)]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_sampling_arguments(parser)
    return parser.parse_args(list(words))


def test_every_parameter_has_a_help_text_and_no_other_has():
    assert list(HELP) == FIELDS
    assert set(MODEL_DEFAULTS) <= set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_every_parameter_has_a_flag(name):
    value, words = SAMPLES[name]
    assert given_sampling(parse(*words)) == {name: value}
    assert value != getattr(SamplingParams(), name)


def flag(name: str, text: str) -> list[str]:
    return [f"--{name.replace('_', '-')}", text]


SAMPLES = {
    **{name: (3, flag(name, "3")) for name in ("max_new_tokens", "min_new_tokens", "top_k")},
    **{name: (3, flag(name, "3")) for name in ("sampling_seed", "n", "stream_interval")},
    **{name: (0.25, flag(name, "0.25")) for name in ("temperature", "top_p", "min_p")},
    "frequency_penalty": (0.5, flag("frequency_penalty", "0.5")),
    "presence_penalty": (-0.5, ["--presence-penalty=-0.5"]),
    "repetition_penalty": (1.5, flag("repetition_penalty", "1.5")),
    "logit_bias": ({42: -1.5}, flag("logit_bias", '{"42": -1.5}')),
    "stop": (("a", "b"), [*flag("stop", "a"), *flag("stop", "b")]),
    "stop_regex": (("a+",), flag("stop_regex", "a+")),
    "stop_token_ids": ((1, 2), [*flag("stop_token_ids", "1"), *flag("stop_token_ids", "2")]),
    "json_schema": ("{}", flag("json_schema", "{}")),
    "regex": ("a+", flag("regex", "a+")),
    "ebnf": ('root ::= "a"', flag("ebnf", 'root ::= "a"')),
    "choice": (("a", "b"), [*flag("choice", "a"), *flag("choice", "b")]),
    "structural_tag": ("{}", flag("structural_tag", "{}")),
    "allow_ignored_schema_keywords": (True, ["--allow-ignored-schema-keywords"]),
    "max_thinking_tokens": (3, flag("max_thinking_tokens", "3")),
    "ignore_eos": (True, ["--ignore-eos"]),
    "no_stop_trim": (True, ["--no-stop-trim"]),
    "skip_special_tokens": (False, ["--no-skip-special-tokens"]),
    "spaces_between_special_tokens": (False, ["--no-spaces-between-special-tokens"]),
}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--temperature", "hot"], "--temperature: 'hot' is not allowed; give a number"),
        (["--stop-token-ids", "a"], "--stop-token-ids: 'a' is not allowed; give an integer"),
        (["--logit-bias", "[1]"], "--logit-bias: .* give a JSON object"),
        (["--logit-bias", "{"], "--logit-bias: .* give a JSON object"),
        (["--n", "none"], "--n: 'none' is not allowed"),
    ],
)
def test_bad_values_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        given_sampling(parse(*words))


def test_none_means_no_limit_where_that_exists():
    assert given_sampling(parse("--max-new-tokens", "none")) == {"max_new_tokens": None}


def test_flags_win_over_the_model_over_the_command():
    defaults = GenerationDefaults(temperature=0.6, top_k=20)
    params = sampling_params(parse("--top-k", "5"), defaults, max_new_tokens=None, temperature=2.0)
    assert params == SamplingParams(temperature=0.6, top_k=5, max_new_tokens=None)
