import pytest

from sglite.cli import main
from sglite.server import launch


@pytest.fixture
def served(monkeypatch):
    """The configs that `sglite serve` would have served."""
    configs = []

    def serve(config, say):
        configs.append(config)
        say("serving")
        return 0

    monkeypatch.setattr(launch, "serve", serve)
    return configs


def test_flags_environment_and_sglangs_spellings_reach_the_server(served, monkeypatch, capsys):
    monkeypatch.setenv("SGLITE_API_KEY", "k")
    words = ["--model-path", "m", "--port=7", "--tp", "1", "--enable_metrics", "--stream_output"]
    assert main(["serve", *words]) == 0
    (config,) = served
    assert (config.model_path, config.port, config.api_key) == ("m", 7, "k")
    assert config.incremental_streaming_output
    assert capsys.readouterr().err == "serving\n"


def test_key_on_the_command_line_is_warned_about_and_not_shown(served, capsys):
    assert main(["serve", "--api-key", "sk-secret"]) == 0
    errors = capsys.readouterr().err
    assert "--api-key-file" in errors
    assert "sk-secret" not in errors


def test_exit_code_is_the_servers(monkeypatch):
    monkeypatch.setattr(launch, "serve", lambda config, say: 1)
    assert main(["serve"]) == 1


def test_help_lists_the_options_of_server_and_engine(capsys):
    assert main(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--drain-timeout-s" in text and "--page-size" in text
