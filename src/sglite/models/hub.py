"""From what a user calls a model to a directory: a path, a hub's id, or the embedded model.

A local directory is taken as it is, without network. An id is downloaded at one revision for all
of its files, and only the kinds of files that sglite reads: never code, never pickles.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import ConfigError, ModelLoadError

ModelSource = Literal["huggingface", "modelscope"]
Download = Callable[[str, str | None], str]
"""``(model id, revision) -> directory``; HubUnreachableError where there was no answer."""

ALLOW_PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
# Repositories keep other formats of the same weights in folders.
IGNORE_PATTERNS = ["*/*"]
MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

logger = logging.getLogger(__name__)


class HubUnreachableError(ModelLoadError):
    """A hub gave no answer, so another one may be tried."""


def resolve_model_directory(
    model: str | Path | None,
    *,
    source: ModelSource = "huggingface",
    revision: str | None = None,
    downloads: Mapping[str, Download] | None = None,
) -> Path:
    """The directory of ``model``: a path, a hub id, or None for the embedded model.

    An id is looked up at ``source``; if Hugging Face cannot be reached, at ModelScope.
    ``downloads`` replaces the hubs' clients. Raises ModelLoadError where there is no such model
    and ConfigError where a hub's client has to be installed.
    """
    if model is None:
        return EMBEDDED_MODEL_DIR
    path = Path(model).expanduser()
    if model != "" and path.exists():
        return path
    if isinstance(model, Path) or not MODEL_ID.fullmatch(model):
        raise ModelLoadError(f"model directory {str(model)[:200]!r} does not exist")
    downloads = DOWNLOADS if downloads is None else downloads
    try:
        return Path(downloads[source](model, revision))
    except HubUnreachableError as error:
        if source == "modelscope":
            raise
        logger.warning("hub_unreachable", extra={"fields": {"model": model, "cause": str(error)}})
        return _fall_back(downloads["modelscope"], model, revision, error)


def _fall_back(
    download: Download, model: str, revision: str | None, first: HubUnreachableError
) -> Path:
    try:
        return Path(download(model, revision))
    except ConfigError as error:
        raise ConfigError(f"{first}; {error}") from None
    except HubUnreachableError as error:
        raise ModelLoadError(f"{first}; {error}; a local directory needs no network") from None


def download_from_huggingface(model: str, revision: str | None) -> str:
    """Download through huggingface_hub into its cache."""
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError:
        raise ConfigError("hub models need the package huggingface_hub; pip install it") from None
    # Connection errors of the HTTP library are not OSErrors in every version of it.
    unreachable = (OSError, getattr(errors, "HTTPError", OSError))
    try:
        directory: str = snapshot_download(
            model,
            revision=revision,
            allow_patterns=ALLOW_PATTERNS,
            ignore_patterns=IGNORE_PATTERNS,
        )
    except errors.GatedRepoError:
        raise ModelLoadError(
            f"model {model!r} is gated: accept its terms on the hub and log in with `hf auth login`"
        ) from None
    except errors.RevisionNotFoundError:
        raise ModelLoadError(f"Hugging Face has no revision {revision!r} of {model!r}") from None
    except errors.RepositoryNotFoundError:
        raise ModelLoadError(
            f"model {model!r} is no local directory, and Hugging Face has no such model (or it is"
            " private and needs `hf auth login`)"
        ) from None
    except ValueError as error:
        raise ModelLoadError(f"model id {model!r}: {_one_line(error)}") from None
    except unreachable as error:
        raise HubUnreachableError(
            f"model {model!r} is no local directory, and Hugging Face cannot be reached"
            f" ({_one_line(error)})"
        ) from error
    return directory


def download_from_modelscope(model: str, revision: str | None) -> str:
    """Download through modelscope into its cache; ConfigError where it is not installed."""
    try:
        from modelscope import snapshot_download
    except ImportError:
        raise ConfigError(
            "ModelScope needs the package modelscope; pip install 'sglite[modelscope]'"
        ) from None
    try:
        directory: str = snapshot_download(
            model,
            revision=revision,
            allow_patterns=ALLOW_PATTERNS,
            ignore_patterns=IGNORE_PATTERNS,
        )
    except OSError as error:
        raise HubUnreachableError(
            f"ModelScope did not give {model!r} ({_one_line(error)})"
        ) from error
    except Exception as error:  # its errors have no common base
        raise ModelLoadError(f"ModelScope did not give {model!r}: {_one_line(error)}") from error
    return directory


def _one_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n", 1)[0][:200]


DOWNLOADS: dict[str, Download] = {
    "huggingface": download_from_huggingface,
    "modelscope": download_from_modelscope,
}
