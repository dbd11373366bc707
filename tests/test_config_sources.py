import logging
import sys
from pathlib import Path

import pytest

from sglite.config import EngineConfig, ServerConfig
from sglite.config_sources import (
    cache_directory,
    check_keywords,
    load_values,
    read_config_file,
    read_environment,
    state_directory,
)
from sglite.errors import ConfigError


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_given_wins_over_environment_and_that_over_file(tmp_path):
    path = write(tmp_path, "a.json", '{"page_size": 1, "max_in_flight": 1, "max_total_tokens": 11}')
    environ = {"SGLITE_PAGE_SIZE": "2", "SGLITE_MAX_IN_FLIGHT": "2", "HOME": "/"}
    values = load_values(EngineConfig, {"page_size": 3}, config_file=path, environ=environ)
    assert values == {"page_size": 3, "max_in_flight": 2, "max_total_tokens": 11}


def test_none_given_is_a_value_and_wins():
    values = load_values(
        EngineConfig, {"context_length": None}, environ={"SGLITE_CONTEXT_LENGTH": "9"}
    )
    assert values == {"context_length": None}


def test_environment_of_the_process_is_read(monkeypatch):
    monkeypatch.setenv("SGLITE_PAGE_SIZE", "64")
    assert EngineConfig.from_kwargs().page_size == 64
    assert EngineConfig().page_size is None


def test_empty_variable_counts_as_unset():
    assert read_environment(EngineConfig, {"SGLITE_PAGE_SIZE": ""}) == {}


def test_bad_variable_is_refused_by_its_name():
    with pytest.raises(ConfigError, match=r"^SGLITE_PAGE_SIZE: 'big' is not allowed"):
        read_environment(EngineConfig, {"SGLITE_PAGE_SIZE": "big"})


def test_unknown_variable_is_refused_with_the_nearest():
    message = "^SGLITE_PAGESIZE is not an option; the nearest one is SGLITE_PAGE_SIZE$"
    with pytest.raises(ConfigError, match=message):
        read_environment(EngineConfig, {"SGLITE_PAGESIZE": "4"})
    with pytest.raises(ConfigError, match="^SGLITE_QQQQ is not an option; see docs"):
        read_environment(EngineConfig, {"SGLITE_QQQQ": "4"})


def test_variable_may_have_any_name_that_a_keyword_has():
    assert read_environment(EngineConfig, {"SGLITE_MODEL": "m"}) == {"model_path": "m"}
    assert read_environment(EngineConfig, {"SGLITE_DUMMY_WEIGHT": "1"}) == {"load_format": "dummy"}
    assert read_environment(EngineConfig, {"SGLITE_HICACHE_SIZE": "0"}) == {}
    with pytest.raises(ConfigError, match="^SGLITE_HICACHE_SIZE is not supported yet"):
        read_environment(EngineConfig, {"SGLITE_HICACHE_SIZE": "2"})
    with pytest.raises(ConfigError, match="SGLITE_MODEL_PATH: model_path is given twice"):
        read_environment(EngineConfig, {"SGLITE_MODEL": "m", "SGLITE_MODEL_PATH": "n"})


def test_options_of_the_server_disturb_no_other_face(tmp_path):
    environ = {"SGLITE_PORT": "1", "SGLITE_STREAM_OUTPUT": "1", "SGLITE_PAGE_SIZE": "4"}
    assert read_environment(EngineConfig, environ) == {"page_size": 4}
    assert read_environment(ServerConfig, environ)["port"] == 1
    path = write(tmp_path, "a.json", '{"port": 1, "ssl-keyfile": "k", "page_size": 4}')
    assert load_values(EngineConfig, {}, config_file=path, environ={}) == {"page_size": 4}
    assert load_values(ServerConfig, {}, config_file=path, environ={})["ssl_keyfile"] == "k"


def test_option_of_the_server_given_to_another_face_is_refused():
    with pytest.raises(ConfigError, match="^port is an option of the server"):
        check_keywords(EngineConfig, {"port": 1})


def test_environment_names_a_file_and_yields_to_one_that_is_given(tmp_path):
    named = {"SGLITE_CONFIG": str(write(tmp_path, "a.json", '{"page_size": 4}'))}
    given = write(tmp_path, "b.json", '{"page_size": 8}')
    assert load_values(EngineConfig, {}, environ=named) == {"page_size": 4}
    assert load_values(EngineConfig, {}, config_file=given, environ=named) == {"page_size": 8}
    assert load_values(EngineConfig, {}, environ={"SGLITE_CONFIG": ""}) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"page-size": 4, "device": "cpu"}'),
        ("a.yaml", "page_size: 4\ndevice: cpu\n"),
        ("a.yml", "page-size: 4\ndevice: cpu\n"),
        pytest.param(
            "a.toml",
            'page_size = 4\ndevice = "cpu"\n',
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="no tomllib"),
        ),
    ],
)
def test_every_format_of_file(tmp_path, name, text):
    path = write(tmp_path, name, text)
    values = load_values(EngineConfig, {}, config_file=path, environ={})
    assert values == {"page_size": 4, "device": "cpu"}


def test_empty_file_has_no_options(tmp_path):
    assert read_config_file(write(tmp_path, "a.yaml", "")) == {}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.ini", "", "ends in .yaml"),
        ("a.json", "{", "does not parse"),
        ("a.yaml", "a: [1", "does not parse"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "does not parse"),
        ("a.json", "[1]", "holds no options"),
        ("a.yaml", "just words", "holds no options"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read_config_file(write(tmp_path, name, text))
    assert "\n" not in str(caught.value)


def test_missing_file_is_refused():
    with pytest.raises(ConfigError, match="No such file"):
        read_config_file(Path("/does/not/exist.yaml"))


def test_bad_value_in_a_file_names_file_and_key(tmp_path):
    path = write(tmp_path, "a.json", '{"page_size": "4"}')
    with pytest.raises(
        ConfigError, match=r"a\.json: page_size: '4' is not allowed; give an integer"
    ):
        load_values(EngineConfig, {}, config_file=path, environ={})


@pytest.mark.parametrize("key", ["pagesize", "page_sizes", 7])
def test_unknown_key_is_refused(key):
    with pytest.raises(ConfigError, match="is not an option"):
        check_keywords(EngineConfig, {key: 4})


def test_option_given_by_two_spellings_is_refused():
    with pytest.raises(ConfigError, match="model_path is given twice"):
        check_keywords(EngineConfig, {"model": "a", "model_path": "b"})


def test_alias_is_noted_with_its_canonical_name(caplog):
    with caplog.at_level(logging.INFO):
        assert check_keywords(EngineConfig, {"tp": 1}) == {"tp_size": 1}
    assert caplog.records[0].fields == {"given": "tp", "canonical": "tp_size"}


def test_state_directory_follows_the_desktop_convention(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_directory() == tmp_path / "sglite"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert state_directory().parts[-3:] == (".local", "state", "sglite")


def test_cache_directory_follows_the_system_convention(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "sglite"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert cache_directory() == tmp_path / ".cache" / "sglite"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_directory() == tmp_path / "Library" / "Caches" / "sglite"
