import io
import json
import logging

import pytest

from sglite.observability.logging import (
    JsonFormatter,
    TextFormatter,
    bound_fields,
    configure_logging,
    ensure_logging,
    log_event,
    plain,
    shown,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def log_setup_is_undone():
    logger = logging.getLogger("sglite")
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def written(stream: io.StringIO, event: str = "ready", /, *, style: str = "text", **fields) -> str:
    configure_logging("info", stream=stream, style=style)
    log_event(logging.getLogger("sglite.test"), logging.INFO, event, **fields)
    return stream.getvalue()


def test_terminal_gets_coloured_text():
    text = written(Terminal(), pages=512, model="my model", share=0.123456)
    assert text.endswith('\x1b[0m ready pages=512 model="my model" share=0.1235\n')
    assert "\x1b[32mINFO" in text


def test_json_has_one_object_per_line():
    entry = json.loads(written(io.StringIO(), style="json", pages=512, model="my model"))
    assert (entry["event"], entry["level"], entry["logger"]) == ("ready", "info", "sglite.test")
    assert (entry["pages"], entry["model"]) == (512, "my model")
    assert entry["time"].endswith("+00:00")


def test_style_is_what_was_chosen_wherever_the_log_goes():
    assert " INFO    ready\n" in written(io.StringIO())
    assert json.loads(written(Terminal(), style="json"))["event"] == "ready"


def test_level_is_kept_and_setup_can_be_repeated():
    stream = io.StringIO()
    configure_logging("debug", stream=io.StringIO())
    configure_logging("warning", stream=stream)
    logger = logging.getLogger("sglite.test")
    log_event(logger, logging.INFO, "quiet")
    log_event(logger, logging.WARNING, "loud")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["loud"]


def test_standard_output_is_the_default(capsys):
    configure_logging()
    log_event(logging.getLogger("sglite"), logging.INFO, "quiet")
    log_event(logging.getLogger("sglite"), logging.WARNING, "ready")
    assert capsys.readouterr().out.endswith(" WARNING ready\n")


def test_log_of_the_program_is_left_alone(monkeypatch, capsys):
    logger = logging.getLogger("sglite")
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    ensure_logging("info")
    assert logger.handlers == []
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    ensure_logging("info", style="json")
    ensure_logging("debug")
    log_event(logger, logging.INFO, "ready")
    assert json.loads(capsys.readouterr().err)["event"] == "ready"
    assert logger.level == logging.INFO


def test_bound_fields_are_added_inside_and_gone_outside():
    stream = io.StringIO()
    with bound_fields(request_id="r1"), bound_fields(row=3):
        written(stream, "inside", style="json", row=4)
    written(stream, "outside", style="json")
    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert (inside["request_id"], inside["row"]) == ("r1", 4)
    assert "request_id" not in outside


def test_line_breaks_and_escapes_cannot_forge_a_line():
    text = written(io.StringIO(), style="text", name="a\nINFO forged", code="\x1b[2J")
    assert text.count("\n") == 1 and "\x1b" not in text
    assert plain("a\nb") == "a\\nb"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, "7"),
        (0.5, "0.5"),
        (1234567.0, "1.235e+06"),
        ("word", "word"),
        ("", '""'),
        ("two words", '"two words"'),
        ('say "x"', '"say \\"x\\""'),
        ("a=b", '"a=b"'),
        (None, "None"),
    ],
)
def test_values_are_quoted_where_they_are_no_plain_word(value, expected):
    assert shown(value) == expected


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_traceback_is_kept(formatter):
    try:
        raise ValueError("why")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("sglite", logging.ERROR, "", 0, "failed", None, info)
    assert "ValueError: why" in formatter.format(record)


def test_fields_of_any_kind_are_written_and_never_replace_the_entrys_own():
    entry = json.loads(written(io.StringIO(), style="json", event="x", level="x", path=io))
    assert (entry["level"], entry["event"]) == ("info", "ready") and "module" in entry["path"]
