"""Writes docs/configuration.md from the options.

``python -m sglite.config_docs docs/configuration.md``; without a file, to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sglite import config
from sglite.config_fields import OptionField, option_fields
from sglite.config_flags import group_title
from sglite.config_sglang import EQUIVALENTS, NEVER, NOT_YET

INTRODUCTION = """\
# Configuration

This page is generated from `src/sglite/config.py` by `make docs`; a test compares the two.

Every option has one name. With `page_size` as the example it is

- the keyword `LLM(page_size=16)`,
- the flag `--page-size 16`,
- the environment variable `SGLITE_PAGE_SIZE=16` (an empty variable counts as unset),
- the line `page_size: 16` of a file given by `--config FILE`, `LLM(config=FILE)` or
  `SGLITE_CONFIG=FILE`. The file is YAML, JSON or, from Python 3.11 on, TOML.

Every other spelling of a flag below is one of the keyword, the variable and the line as well:
`--model`, `LLM(model=...)`, `SGLITE_MODEL`, `model: ...`. The server options are `sglite serve`'s
alone, the router options `sglite router`'s, which has the listen, routing and log options too; in
the environment and in files they disturb nobody else.

The command line (or the keyword) wins over the environment, that over the file, that over the
default. Options that are true or false are plain flags, `--disable-radix-cache`; with `--no-` in
front they set the opposite. *Unset* means that sglite settles the value at start-up; the log says
what it chose and why (`--log-level debug`). An unknown name ends the program with exit code 2 and
the nearest known one.
"""

FOREIGN = """\
## Options of SGLang that sglite does not have

Accepted, because sglite has the same under another name or always does it:

{equivalents}

Refused with a message that says so, because sglite cannot do it yet (values that ask for nothing,
such as `--dp-size 1` or `lora_paths=None`, pass):
{not_yet}.

Refused for good: {never}.
"""


def configuration_page() -> str:
    """The whole page as Markdown."""
    classes = (config.ServerConfig, config.RouterConfig)
    fields = {
        name: field for options in classes for name, field in option_fields(options).items()
    }.values()
    groups = list(dict.fromkeys(field.group for field in fields))
    sections = [
        _section(group, [field for field in fields if field.group == group]) for group in groups
    ]
    return "\n".join([INTRODUCTION, *sections, _foreign_options()])


def _section(group: str, fields: list[OptionField]) -> str:
    lines = [
        f"## {group_title(group).capitalize()}",
        "",
        getattr(config, group).__doc__,
        "",
        "| flag | value | default | meaning |",
        "| --- | --- | --- | --- |",
        *(_row(field) for field in fields),
        "",
    ]
    return "\n".join(lines)


def _row(field: OptionField) -> str:
    flags = ", ".join(f"`{flag}`" for flag in field.flags)
    default = "unset" if field.default is None else f"`{str(field.default).lower()}`"
    spellings = ", ".join(f"{word} = {choice}" for word, choice in field.spellings.items())
    allowed = field.allowed + (f" ({spellings})" if spellings else "")
    return f"| {flags} | {allowed} | {default} | {field.help} |"


def _foreign_options() -> str:
    equivalents = [
        f"- `--{_dashed(name)}{'' if value is True else f' {value}'}`: {_stands_for(settled)}"
        for name, choices in EQUIVALENTS.items()
        for value, settled in choices.items()
        if value is not False
    ]
    return FOREIGN.format(
        equivalents="\n".join(equivalents),
        not_yet=",\n".join(f"`--{_dashed(name)}` ({why})" for name, why in NOT_YET.items()),
        never=", ".join(f"`--{_dashed(name)}` ({why})" for name, why in NEVER.items()),
    )


def _stands_for(settled: dict[str, object]) -> str:
    if not settled:
        return "without effect, sglite works that way"
    return ", ".join(f"`--{_dashed(name)}` {str(value).lower()}" for name, value in settled.items())


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def main(argv: list[str]) -> int:
    """Write the page to the file named, or to standard output."""
    page = configuration_page()
    if argv:
        Path(argv[0]).write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
