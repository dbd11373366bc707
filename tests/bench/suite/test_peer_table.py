"""Every peer that comes along has its adapter, and takes part in workloads that exist."""

from __future__ import annotations

import pytest

from sglite.bench.suite.jobs import all_jobs
from sglite.bench.suite.peer_table import KINDS, peer_kind
from sglite.errors import ConfigError


@pytest.mark.parametrize("name", KINDS)
def test_kinds_are_complete(name):
    kind = KINDS[name]
    assert kind.adapter.is_file()
    assert kind.jobs and set(kind.jobs) <= set(all_jobs())


def test_an_ending_of_the_name_is_for_telling_apart():
    assert peer_kind("vllm-eager", None, ()) is KINDS["vllm"]
    assert peer_kind("llamacpp-q4_0", None, ()).options == {"dtype": "q4_0"}
    with pytest.raises(ConfigError, match="'tgi': known are transformers"):
        peer_kind("tgi", None, ())


def test_threads_stand_in_the_environment():
    environment = KINDS["vllm"].environment_for(4)
    assert environment["VLLM_CPU_OMP_THREADS_BIND"] == "0-3"


def test_another_engine_is_a_file(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        peer_kind("mine", str(tmp_path / "a.py"), ("W1",))
    (tmp_path / "a.py").write_text("")
    assert peer_kind("mine", str(tmp_path / "a.py"), ("W1",)).jobs == ("W1",)
