"""What the three commands share: the session they read, the floors they report."""

from __future__ import annotations

import pytest

from sglite.bench.suite import command
from sglite.bench.suite.in_process import InProcess
from sglite.bench.suite.jobs import all_jobs
from sglite.bench.suite.peer_process import PeerProcess
from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError
from tests.bench.suite.outcomes import make_outcome
from tests.cli.real_model import make_tiny_model

ALL = tuple(all_jobs())


def read(*words):
    parser = CommandParser(prog="sglite bench x", description="")
    command.add_suite_arguments(parser, default="W1,W2", rounds="--rounds")
    return command.read_session(parser, [*map(str, words)], ALL)


def test_jobs_have_the_model_and_the_options_that_they_are_about():
    session = read("--workloads", "W0,W1", "--page-size", 32)
    cold, stream = session.jobs
    assert not session.target_of(cold).config.skip_tokenizer_init
    assert session.target_of(stream).config.skip_tokenizer_init
    assert session.target_of(stream).config.page_size == 32
    assert isinstance(session.own_engine(cold), PeerProcess)
    assert isinstance(session.own_engine(stream), InProcess)


def test_w5_runs_on_the_tiny_model_and_is_checked_against_it(tmp_path):
    small = make_tiny_model(tmp_path / "model")
    with pytest.raises(ConfigError, match=r"this model has 1,024; leave it out"):
        read("--workloads", "W5", "--tiny-model", small)


def test_settings_say_what_was_asked_for():
    session = read("--workloads", "W1", "--rounds", 2)
    settings = command.settings_of(session)
    assert settings["command"] == "sglite bench x --workloads W1 --rounds 2"
    assert (settings["num_rounds"], settings["model"]) == (2, "the embedded model")
    assert "tp_size" not in settings


def test_settings_name_ranks_and_stages():
    settings = command.settings_of(read("--workloads", "W1", "--tp", 2, "--pp", 3))
    assert (settings["tp_size"], settings["pp_size"]) == (2, 3)
    assert "dp_size" not in settings


def test_logs_lie_beside_the_results(tmp_path):
    assert read().log("a") is None
    assert read("--out", tmp_path / "new").log("a") == tmp_path / "new" / "a.log"
    assert (tmp_path / "new").is_dir()


def test_a_model_in_the_cache_has_no_floor():
    floors = command.floors_of(read("--workloads", "W1,W2"), make_outcome())
    assert floors == {"W1": None, "W2": None}
    outcome = make_outcome()
    outcome.readings.clear()
    assert command.floors_of(read(), outcome) == {}


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "x"])
def test_numbers_are_at_least_one(text):
    with pytest.raises(ConfigError, match="--flag"):
        command.read_number(text, flag="--flag")
