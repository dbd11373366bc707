from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from sglite.errors import ConfigError
from sglite.ipc.private_directory import (
    listen_in,
    make_private_directory,
    remove_private_directory,
    socket_path,
)


def test_only_the_owner_may_enter() -> None:
    directory = make_private_directory()
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    with listen_in(directory):
        assert stat.S_ISSOCK(os.stat(socket_path(directory)).st_mode)
    remove_private_directory(directory)
    assert not Path(directory).exists()
    remove_private_directory(directory)


def test_what_is_not_ours_is_not_removed() -> None:
    directory = Path(make_private_directory())
    (directory / "other").touch()
    remove_private_directory(str(directory))
    assert (directory / "other").exists()
    (directory / "other").unlink()
    directory.rmdir()


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 40)
    directory.mkdir()
    with pytest.raises(ConfigError, match="TMPDIR"):
        listen_in(str(directory))


def test_no_place_for_a_directory_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="TMPDIR"):
        make_private_directory()
