import argparse
import json
import logging
import sys

from sglite.cli.engine import has_chat_template, open_llm, read_config
from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.embedded import EMBEDDED_MODEL_DESCRIPTION
from sglite.hardware import HardwareFacts
from tests.cli.fakes import FakeLLM


def test_commands_are_quiet_unless_asked(monkeypatch):
    assert read_config(argparse.Namespace()).log_level == "warning"
    assert logging.getLogger("sglite").level == logging.WARNING
    assert read_config(argparse.Namespace(log_level="debug")).log_level == "debug"
    monkeypatch.setenv("SGLITE_LOG_LEVEL", "error")
    assert read_config(argparse.Namespace()).log_level == "error"


def test_a_commands_own_default_yields_to_a_flag():
    assert read_config(argparse.Namespace(), dtype="float32").dtype == "float32"
    assert read_config(argparse.Namespace(dtype="auto"), dtype="float32").dtype == "auto"


def test_embedded_model_announces_itself_on_a_terminal(llm, capsys, monkeypatch):
    open_llm(EngineConfig())
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    open_llm(EngineConfig())
    assert capsys.readouterr().err.startswith(EMBEDDED_MODEL_DESCRIPTION + " (--model DIR")
    open_llm(EngineConfig(model_path="m"))
    assert capsys.readouterr().err == ""


def test_log_has_the_format_asked_for(capsys):
    read_config(argparse.Namespace(log_format="json"))
    logging.getLogger("sglite").warning("a")
    read_config(argparse.Namespace())
    logging.getLogger("sglite").warning("b")
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["event"] == "a" and second.endswith("WARNING b")


def test_every_option_reaches_the_engine(llm):
    config = EngineConfig(model_path="m", page_size=4, context_length=7)
    assert open_llm(config).config == resolve(config, HardwareFacts())


def test_model_without_tokenizer_has_no_template():
    llm = FakeLLM()
    assert has_chat_template(llm)
    llm.tokenizer = None
    assert not has_chat_template(llm)
