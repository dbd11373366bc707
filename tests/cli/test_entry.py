import importlib
import logging
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import sglite
from sglite.cli import entry, main
from sglite.errors import CapacityError, ConfigError, EngineDeadError, ModelLoadError, RequestError

SOURCES = Path(sglite.__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SOURCES)}


@pytest.fixture
def command(monkeypatch):
    """Puts a function in the place of `sglite demo`."""

    def install(run):
        module = types.ModuleType("sglite.cli.demo", "A command.")
        module.add_arguments = lambda parser: parser.add_argument("--log-level")
        module.run = run
        monkeypatch.setitem(sys.modules, "sglite.cli.demo", module)

    return install


def raising(error):
    def run(arguments):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("bad option"), 2),
        (ModelLoadError("bad model"), 2),
        (RequestError("bad prompt"), 2),
        (CapacityError("full"), 1),
        (EngineDeadError("dead"), 1),
        (ZeroDivisionError("division by zero"), 1),
        (MemoryError(), 1),
    ],
)
def test_error_becomes_exit_code_and_one_line(command, capsys, error, code):
    command(raising(error))
    assert main(["demo"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"sglite demo: {str(error) or 'MemoryError'}\n"


def test_message_of_several_lines_is_put_on_one(command, capsys):
    command(raising(ConfigError("a\n  b")))
    main(["demo"])
    assert capsys.readouterr().err == "sglite demo: a b\n"


def test_traceback_is_shown_at_level_debug_only(command, capsys):
    command(raising(ConfigError("bad")))
    logging.getLogger("sglite").setLevel(logging.DEBUG)
    assert main(["demo"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_no_text(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == ""


def test_command_gets_its_arguments_and_gives_its_code(command):
    command(lambda arguments: 1 if arguments.log_level == "debug" else 0)
    assert main(["demo"]) == 0
    assert main(["demo", "--log-level", "debug"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generat"], "sglite: generat is not a command; the nearest one is generate\n"),
        (["qqqq"], "sglite: qqqq is not a command; see sglite --help\n"),
    ],
)
def test_unknown_commands_are_refused(capsys, words, message):
    assert main(words) == 2
    assert capsys.readouterr().err == message


def test_help_lists_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name}" in text for name in entry.COMMANDS)
    assert "--version" in text
    assert main([]) == 2


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("sglite 0.")


def test_unknown_variable_is_told_once(monkeypatch, capsys):
    monkeypatch.setenv("SGLITE_PAGESIZE", "4")
    assert main(["plan"]) == 2
    assert capsys.readouterr().err == (
        "sglite plan: SGLITE_PAGESIZE is not an option; the nearest one is SGLITE_PAGE_SIZE\n"
    )


@pytest.mark.parametrize("name", entry.COMMANDS)
def test_every_command_has_help(capsys, name):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    module = importlib.import_module(f"sglite.cli.{name.replace('-', '_')}")
    assert text.startswith(f"usage: sglite {name} [options]")
    assert module.__doc__.strip().split()[0] in text


def test_help_and_bad_options_need_neither_torch_nor_transformers():
    code = (
        "import sys; from sglite.cli import main; "
        "assert main(['--help']) == 0 and main(['chat', '--help']) == 0; "
        "assert main(['generate', '--prompt', 'a', '--page-size', 'x']) == 2; "
        "heavy = {'torch', 'transformers', 'numpy', 'prompt_toolkit', 'rich'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr


def test_letter_that_the_terminal_lacks_ends_nothing():
    code = (
        "import sys; from sglite.cli import entry; "
        "entry.overview = lambda: 'Zürich 東京'; sys.exit(entry.run(['--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stdout) == (0, b"Z?rich ??\n")


def test_reader_that_leaves_early_makes_no_noise():
    code = (
        "import sys; from sglite.cli import entry; "
        "entry.overview = lambda: 'word ' * 1_000_000; sys.exit(entry.run(['--help']))"
    )
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "")
