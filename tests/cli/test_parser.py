import pytest

from sglite.cli.parser import CommandParser, parse_integer
from sglite.config_flags import add_option_arguments
from sglite.errors import ConfigError


def make_parser() -> CommandParser:
    parser = CommandParser(prog="sglite test", description="First.\n\nSecond.")
    parser.add_argument("--prompt")
    add_option_arguments(parser)
    return parser


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--page-sise", "4"], "^--page-sise is not an option; the nearest one is --page-size$"),
        (["--page-sise=4"], "^--page-sise is not an option; the nearest one is --page-size$"),
        (["--zzzzqqqq"], "^--zzzzqqqq is not an option; see sglite test --help$"),
        (["--page", "4"], "^--page is not an option; the nearest one is --page-size$"),
        (["stray"], "^'stray' is not expected here"),
        (["--page-size"], "^--page-size: expected one argument$"),
        (["--hicache-size", "2"], "^--hicache-size is not supported yet: KV lives in one tier"),
        (["--trust-remote-code"], "^--trust-remote-code is not supported: sglite runs no code"),
    ],
)
def test_bad_words_are_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        make_parser().parse_args(words)


@pytest.mark.parametrize(
    "words",
    [["--hicache-size", "0"], ["--hicache-size=0"], ["--grammar_backend", "none", "--dp", "1"]],
)
def test_flags_of_sglang_that_ask_for_nothing_pass(words):
    assert make_parser().parse_args([*words, "--prompt", "a"]).prompt == "a"


def test_underscores_in_flags_are_dashes_and_values_are_left_alone():
    parsed = make_parser().parse_args(["--page_size=4", "--prompt", "a_b --c_d"])
    assert (parsed.page_size, parsed.prompt) == ("4", "a_b --c_d")
    assert make_parser().parse_args(["--prompt=a_b"]).prompt == "a_b"


def test_integers_are_read_and_bounded():
    assert parse_integer("-3", flag="--x") == -3
    assert parse_integer("1", flag="--x", at_least=1) == 1
    with pytest.raises(
        ConfigError, match=r"^--x: '0' is not allowed; give an integer, at least 1$"
    ):
        parse_integer("0", flag="--x", at_least=1)
    with pytest.raises(ConfigError, match=r"^--x: 'a' is not allowed; give an integer$"):
        parse_integer("a", flag="--x")


def test_help_shows_the_first_paragraph():
    text = make_parser().format_help()
    assert "First." in text and "Second." not in text
