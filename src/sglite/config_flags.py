"""Options as command-line flags: one flag per field, its spellings, and what was given."""

from __future__ import annotations

import argparse
from typing import Any

from sglite.config import EngineConfig, RouterConfig, ServerConfig
from sglite.config_fields import OptionField, option_fields
from sglite.config_sglang import EQUIVALENTS, translate
from sglite.config_sources import load_values
from sglite.errors import ConfigError


def add_option_arguments(parser: argparse.ArgumentParser, options: type = EngineConfig) -> None:
    """Add a flag for every option, in groups, and ``--config FILE``.

    A flag that is not given leaves no trace in the namespace, so that the environment and the file
    can speak. Values stay text until :func:`given_options`.
    """
    parser.add_argument(
        "--config", metavar="FILE", help="YAML, TOML or JSON file of options; flags win over it"
    )
    groups: dict[str, Any] = {}
    for field in option_fields(options).values():
        if field.group not in groups:
            groups[field.group] = parser.add_argument_group(group_title(field.group))
        _add_option(groups[field.group], field)
    if issubclass(options, EngineConfig):
        _add_equivalents(parser)


def group_title(group: str) -> str:
    """``"CacheOptions" -> "cache options"``."""
    return group.removesuffix("Options").lower() + " options"


def _add_option(group: Any, field: OptionField) -> None:
    hidden: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
    shown = hidden | {"help": help_text(field).replace("%", "%%")}
    hidden["help"] = argparse.SUPPRESS
    if field.is_list:
        shown["nargs"] = "+"
    if field.kind is not bool:
        group.add_argument(*field.flags, metavar=metavar(field), **shown)
        return
    negated = [f"--no-{flag[2:]}" for flag in field.flags]
    on, off = (hidden, shown) if field.default else (shown, hidden)
    group.add_argument(*field.flags, action="store_const", const="true", **on)
    group.add_argument(*negated, action="store_const", const="false", **off)


def _add_equivalents(parser: argparse.ArgumentParser) -> None:
    for name, choices in EQUIVALENTS.items():
        if True not in choices and False in choices:
            continue
        action: dict[str, Any] = {"action": "store_true"} if True in choices else {}
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
            **action,
        )


def help_text(field: OptionField) -> str:
    """The help of a flag: its docstring and its default."""
    if field.kind is bool:
        return field.help
    default = "" if field.default is None else f" (default {field.default})"
    return field.help.removesuffix(".") + default


def metavar(field: OptionField) -> str:
    """What stands for the value in the help, e.g. ``{lru,lfu}`` or ``INT``."""
    if field.choices:
        return "{" + ",".join(str(choice) for choice in field.choices) + "}"
    return {int: "INT", float: "NUMBER", str: "TEXT"}[field.kind]


def given_options(arguments: argparse.Namespace, options: type = EngineConfig) -> dict[str, Any]:
    """The options given as flags, by name and in their own types; ConfigError for a bad value."""
    given: dict[str, Any] = {}
    for field in option_fields(options).values():
        if hasattr(arguments, field.name):
            text = getattr(arguments, field.name)
            text = " ".join(text) if field.is_list else text
            given[field.name] = field.parse(text, label=field.flags[0])
    for name in EQUIVALENTS:
        if hasattr(arguments, name):
            flag = f"--{name.replace('_', '-')}"
            _merge(given, translate(name, getattr(arguments, name), label=flag), flag)
    return given


def _merge(given: dict[str, Any], settled: dict[str, Any], flag: str) -> None:
    for name, value in settled.items():
        if given.setdefault(name, value) != value:
            raise ConfigError(f"{flag} contradicts --{name.replace('_', '-')} {given[name]}")


def config_from_arguments(arguments: argparse.Namespace, **defaults: Any) -> EngineConfig:
    """The config of a command line: flags over environment over ``--config`` over ``defaults``."""
    return EngineConfig(**(defaults | _values_of(arguments, EngineConfig)))


def server_config_from_arguments(arguments: argparse.Namespace) -> ServerConfig:
    """The same for the server's command line, which has all options."""
    return ServerConfig(**_values_of(arguments, ServerConfig))


def router_config_from_arguments(arguments: argparse.Namespace) -> RouterConfig:
    """The same for the router's command line."""
    return RouterConfig(**_values_of(arguments, RouterConfig))


def _values_of(arguments: argparse.Namespace, options: type) -> dict[str, Any]:
    given = given_options(arguments, options)
    return load_values(options, given, config_file=getattr(arguments, "config", None))
