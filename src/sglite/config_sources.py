"""Where option values come from: keywords or flags, then the environment, then a file.

The only module that reads the environment.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sglite.config_fields import OptionField, nearest, option_fields
from sglite.config_sglang import is_foreign, translate
from sglite.errors import ConfigError

ENVIRONMENT_PREFIX = "SGLITE_"
CONFIG_VARIABLE = "SGLITE_CONFIG"

logger = logging.getLogger(__name__)


def load_values(
    options: type,
    given: Mapping[str, Any],
    *,
    config_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Checked values of the options that were given: ``given`` over environment over file.

    Where ``config_file`` is None, the environment may name one in ``SGLITE_CONFIG``.
    ConfigError where a name is unknown or a value is not allowed; the message names the source.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    config_file = config_file or environ.get(CONFIG_VARIABLE) or None
    if config_file is not None:
        content = read_config_file(Path(config_file))
        content = {key: each for key, each in content.items() if not _is_elsewhere(options, key)}
        values.update(check_keywords(options, content, source=f"{config_file}: "))
    values.update(read_environment(options, environ))
    values.update(check_keywords(options, given))
    return values


def check_keywords(options: type, given: Mapping[str, Any], *, source: str = "") -> dict[str, Any]:
    """``given`` under the options' own names and in their own types."""
    keywords = {key: field for field in option_fields(options).values() for key in field.keywords}
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        label = f"{source}{key}"
        if name in keywords:
            settled = _check_keyword(keywords[name], name, value, label)
        elif _is_elsewhere(options, name):
            raise ConfigError(f"{label} is an option of the server; see `sglite serve --help`")
        elif is_foreign(name):
            settled = translate(name, value, label=label)
        else:
            raise ConfigError(f"{label} is not an option; {_hint(nearest(name, keywords))}")
        _merge(values, settled, label=label)
    return values


def _check_keyword(field: OptionField, name: str, value: Any, label: str) -> dict[str, Any]:
    if name != field.name:
        fields = {"given": name, "canonical": field.name}
        logger.info("option_alias", extra={"fields": fields})
    return {field.name: field.check(value, label=label)}


def read_environment(options: type, environ: Mapping[str, str]) -> dict[str, Any]:
    """Values of the variables ``SGLITE_<NAME>``; an empty variable counts as unset.

    The name may be any that a keyword may have. ConfigError where it is unknown.
    """
    keywords = {key: field for field in option_fields(options).values() for key in field.keywords}
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE or not text:
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if _is_elsewhere(options, name):
            continue
        if name in keywords:
            field = keywords[name]
            settled = {field.name: field.parse(text, label=variable)}
        elif is_foreign(name):
            settled = translate(name, text, label=variable)
        else:
            close = nearest(name, keywords)
            hint = _hint(f"{ENVIRONMENT_PREFIX}{close.upper()}" if close else None)
            raise ConfigError(f"{variable} is not an option; {hint}")
        _merge(values, settled, label=variable)
    return values


def _merge(values: dict[str, Any], settled: Mapping[str, Any], *, label: str) -> None:
    twice = settled.keys() & values.keys()
    if twice:
        raise ConfigError(f"{label}: {min(twice)} is given twice")
    values.update(settled)


def read_config_file(path: Path) -> dict[str, Any]:
    """The mapping in a YAML, TOML or JSON file; ConfigError where there is none."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{path}: a config file ends in .yaml, .yml, .toml or .json")
    try:
        content = reader(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} does not parse: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no options; write lines like `page_size: 16`")
    return content


def _read_yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigError("YAML config files need PyYAML; use .json or install pyyaml") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _read_toml(text: str) -> Any:
    if sys.version_info < (3, 11):
        raise ConfigError("TOML config files need Python 3.11; use .yaml or .json")
    import tomllib

    return tomllib.loads(text)


READERS: dict[str, Callable[[str], Any]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".toml": _read_toml,
    ".json": json.loads,
}


def _is_elsewhere(options: type, name: object) -> bool:
    """True for an option of another face; one file and one environment serve all of them."""
    elsewhere: Callable[[], frozenset[str]] = getattr(options, "names_elsewhere", frozenset)
    return str(name).replace("-", "_") in elsewhere()


def _hint(close: str | None) -> str:
    return f"the nearest one is {close}" if close else "see docs/configuration.md"


def state_directory() -> Path:
    """Where sglite keeps what a user would not miss: the chat's history of lines."""
    root = os.environ.get("XDG_STATE_HOME")
    return (Path(root) if root else Path.home() / ".local" / "state") / "sglite"


def cache_directory() -> Path:
    """Where sglite keeps what it can make again. RuntimeError where the user has no home."""
    root = os.environ.get("XDG_CACHE_HOME")
    if root:
        return Path(root) / "sglite"
    beside = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
    return Path.home().joinpath(*beside, "sglite")


def set_default_environment(**values: str) -> None:
    """Variables for libraries that read them when they are loaded; those that are set stay."""
    for name, value in values.items():
        os.environ.setdefault(name, value)
