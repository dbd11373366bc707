import argparse

import pytest

from sglite.config import EngineConfig, ServerConfig
from sglite.config_fields import option_fields
from sglite.config_flags import (
    add_option_arguments,
    config_from_arguments,
    given_options,
    group_title,
    server_config_from_arguments,
)
from sglite.errors import ConfigError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_option_arguments(parser)
    return parser.parse_args(list(words))


def test_nothing_given_leaves_the_defaults():
    assert given_options(parse()) == {}
    assert config_from_arguments(parse()) == EngineConfig()


@pytest.mark.parametrize("field", option_fields(EngineConfig).values(), ids=lambda f: f.name)
def test_every_option_can_be_set_by_every_spelling_of_its_flag(field):
    value = sample_value(field)
    for flag in field.flags:
        words = [flag] if field.kind is bool else [flag, str(value)]
        assert given_options(parse(*words)) == {field.name: value}


def sample_value(field):
    if field.form is not None:
        return field.default
    if field.choices:
        return field.choices[-1]
    return {int: 2, float: 0.5, bool: True, str: "text"}[field.kind]


def test_server_has_its_own_options_and_those_of_the_engine(monkeypatch):
    parser = argparse.ArgumentParser()
    add_option_arguments(parser, ServerConfig)
    monkeypatch.setenv("SGLITE_HOST", "localhost")
    words = ["--port", "7", "--page-size", "4", "--stream-output"]
    config = server_config_from_arguments(parser.parse_args(words))
    assert (config.port, config.page_size, config.host) == (7, 4, "localhost")
    assert config.incremental_streaming_output


def test_no_form_turns_an_option_off_that_the_environment_turns_on(monkeypatch):
    monkeypatch.setenv("SGLITE_DISABLE_RADIX_CACHE", "1")
    assert config_from_arguments(parse()).disable_radix_cache
    assert not config_from_arguments(parse("--no-disable-radix-cache")).disable_radix_cache


def test_flags_win_over_environment_over_file_over_the_commands_default(monkeypatch, tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"page_size": 1, "max_in_flight": 3, "max_total_tokens": 5}')
    monkeypatch.setenv("SGLITE_MAX_IN_FLIGHT", "4")
    config = config_from_arguments(
        parse("--config", str(path), "--page-size", "2"), log_level="error", max_total_tokens=9
    )
    assert (config.page_size, config.max_in_flight, config.max_total_tokens) == (2, 4, 5)
    assert config.log_level == "error"


def test_bad_value_names_flag_value_and_what_is_allowed():
    allowed = "an integer, at least 1 and at most 1024, or none"
    with pytest.raises(ConfigError, match=f"^--page-size: 'many' is not allowed; give {allowed}$"):
        given_options(parse("--page-size", "many"))


def test_flags_of_sglang_that_mean_something_of_ours():
    assert given_options(parse("--disable-overlap-schedule")) == {"max_in_flight": 1}
    assert given_options(parse("--model-mode", "no-cache")) == {"disable_radix_cache": True}
    assert given_options(parse("--enable-mixed-chunk", "--enable-cache-report")) == {}


def test_flag_of_sglang_that_contradicts_another_is_refused():
    with pytest.raises(ConfigError, match="contradicts --max-in-flight 2"):
        given_options(parse("--disable-overlap-schedule", "--max-in-flight", "2"))


def test_help_shows_every_option_once_and_its_default():
    parser = argparse.ArgumentParser()
    add_option_arguments(parser)
    text = " ".join(parser.format_help().split())
    for field in option_fields(EngineConfig).values():
        assert field.flags[0] in text
    assert "Most requests that wait; more are refused at once (default 2048)" in text
    assert "--no-disable-radix-cache" not in text


def test_group_titles():
    assert group_title("CacheOptions") == "cache options"
