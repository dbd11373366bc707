from pathlib import Path

from sglite.config import RouterConfig, ServerConfig
from sglite.config_docs import configuration_page, main
from sglite.config_fields import option_fields

PAGE = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"


def test_page_in_the_repository_is_the_generated_one():
    assert PAGE.read_text() == configuration_page(), (
        "run: python -m sglite.config_docs docs/configuration.md"
    )


def test_every_option_has_a_row_with_its_spellings_and_help():
    rows = [line for line in configuration_page().splitlines() if line.startswith("| `--")]
    fields = list((option_fields(ServerConfig) | option_fields(RouterConfig)).values())
    assert len(rows) == len(fields)
    for row, field in zip(rows, fields, strict=True):
        assert all(f"`{flag}`" in row for flag in field.flags) and field.help in row
        assert row.count("|") == 5


def test_main_writes_a_file_or_standard_output(tmp_path, capsys):
    assert main([str(tmp_path / "page.md")]) == main([]) == 0
    assert (tmp_path / "page.md").read_text() == capsys.readouterr().out == configuration_page()
