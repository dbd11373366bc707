import pytest

from sglite.cli import main
from sglite.router_server import launch


@pytest.fixture
def served(monkeypatch):
    """The configs that `sglite router` would have served."""
    configs = []
    monkeypatch.setattr(launch, "serve", lambda config, say: configs.append(config) or 0)
    return configs


def test_workers_are_words_after_one_flag(served):
    assert main(["router", "--workers", "http://a", "http://b", "--port", "7"]) == 0
    assert (served[0].workers, served[0].port) == ("http://a http://b", 7)


def test_flags_environment_and_sglangs_spellings_reach_the_router(served, monkeypatch):
    monkeypatch.setenv("SGLITE_WORKER_API_KEY", "k")
    monkeypatch.setenv("SGLITE_PAGE_SIZE", "16")  # an engine's
    words = ["--worker-urls", "http://a", "--routing-policy", "rr", "--queue-size", "5"]
    assert main(["router", *words]) == 0
    (config,) = served
    assert (config.routing_policy, config.max_waiting_requests) == ("round_robin", 5)
    assert config.worker_api_key == "k"


def test_keys_on_the_command_line_are_warned_about_and_not_shown(served, capsys):
    assert main(["router", "--workers", "http://a", "--worker-api-key", "sk-secret"]) == 0
    errors = capsys.readouterr().err
    assert "key file" in errors and "sk-secret" not in errors


def test_an_engines_options_are_none_of_the_routers(capsys):
    assert main(["router", "--workers", "http://a", "--page-size", "16"]) == 2
    assert "--page-size is not an option" in capsys.readouterr().err
    assert main(["router"]) == 2
    assert "give --workers" in capsys.readouterr().err


def test_help_lists_the_routers_options(capsys):
    assert main(["router", "--help"]) == 0
    text = capsys.readouterr().out
    assert "--worker-api-key-file" in text and "--page-size" not in text
