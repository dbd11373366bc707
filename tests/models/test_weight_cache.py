"""The cache's directory: what is kept, what goes, and that no fault of it reaches the caller."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from sglite.models import weight_cache
from sglite.models.weight_cache import WeightCache

Usage = namedtuple("Usage", "total used free")


def writer(content: bytes):
    return lambda path: path.write_bytes(content) and None


def names(cache: WeightCache) -> list[str]:
    return [path.stem for path in cache.entries()]


def refuse(error: int):
    def write(path: Path) -> None:
        path.write_bytes(b"half of i")
        raise OSError(error, os.strerror(error))

    return write


@pytest.fixture
def bounded(tmp_path, monkeypatch):
    """A bounded cache on a disk with 1,000 free bytes beside what it holds, for entries of any
    size."""
    monkeypatch.setattr(weight_cache, "FEWEST_BYTES", 1)
    cache = WeightCache(tmp_path / "weights", is_bounded=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 1000 - cache.num_bytes()))
    return cache


def test_options_name_a_directory_or_none(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert WeightCache.of("off") is None
    assert WeightCache.of("auto") == WeightCache(tmp_path / "sglite" / "weights", is_bounded=True)
    assert WeightCache.of(str(tmp_path)) == WeightCache(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert WeightCache.of("~/packs") == WeightCache(tmp_path / "me" / "packs")


def test_user_without_a_home_has_no_cache(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert WeightCache.of("auto") is None


def test_entry_is_kept_and_replaced_and_the_directory_is_made_for_the_user_alone(tmp_path):
    cache = WeightCache(tmp_path / "new" / "weights")
    assert cache.entries() == [] and cache.num_bytes() == 0
    assert cache.try_store("a", 3, writer(b"one"))
    assert cache.try_store("a", 5, writer(b"other"))
    assert cache.path("a").read_bytes() == b"other"
    assert names(cache) == ["a"] and cache.num_bytes() == 5
    assert cache.directory.stat().st_mode & 0o777 == 0o700
    assert list(cache.directory.iterdir()) == [cache.path("a")]


def test_full_disk_leaves_the_old_entry_no_remains_and_one_warning(tmp_path, caplog):
    cache = WeightCache(tmp_path)
    cache.try_store("a", 3, writer(b"one"))
    assert not cache.try_store("a", 9, refuse(errno.ENOSPC))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"one"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.fields["reason"] == "No space left on device"


def test_other_faults_of_writing_are_not_swallowed_and_leave_nothing(tmp_path):
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        WeightCache(tmp_path).try_store("a", 4, fail)
    assert list(tmp_path.iterdir()) == []


def test_directory_that_cannot_be_made_is_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"")
    cache = WeightCache(tmp_path / "file" / "weights")
    assert not cache.try_store("a", 3, writer(b"one"))
    assert cache.entries() == []
    assert [record.getMessage() for record in caplog.records] == ["weights_not_cached"]


def test_read_only_directory_is_one_warning(tmp_path, caplog, monkeypatch):
    def refused(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    # Root may write anywhere, so modes alone would not show it.
    monkeypatch.setattr(weight_cache.tempfile, "mkstemp", refused)
    assert not WeightCache(tmp_path).try_store("a", 3, writer(b"one"))
    assert [record.fields["reason"] for record in caplog.records] == ["Permission denied"]


def test_file_of_a_process_that_is_gone_is_removed_and_one_in_work_stays(tmp_path):
    gone, in_work = (tmp_path / f".unfinished-{name}.safetensors" for name in "ab")
    for path in (gone, in_work):
        path.write_bytes(b"half")
    os.utime(gone, (time.time() - 7200,) * 2)
    cache = WeightCache(tmp_path)
    cache.try_store("a", 3, writer(b"one"))
    assert not gone.exists() and in_work.exists()
    assert names(cache) == ["a"], "neither is an entry"


def test_own_cache_removes_what_was_used_least_recently(bounded):
    for age, name in enumerate(["old", "older", "oldest"]):
        assert bounded.try_store(name, 30, writer(b"x" * 30))
        os.utime(bounded.path(name), (1000 - age,) * 2)
    assert names(bounded) == ["oldest", "older", "old"]
    bounded.mark_used("oldest")
    assert bounded.try_store("new", 60, writer(b"x" * 60))
    assert set(names(bounded)) == {"oldest", "new"}, "100 bytes are a tenth of the disk"


def test_own_cache_takes_nothing_that_is_larger_than_its_share(bounded, caplog):
    bounded.try_store("small", 30, writer(b"x" * 30))
    assert not bounded.try_store("large", 101, writer(b"x" * 101))
    assert names(bounded) == ["small"]
    assert not caplog.records, "nobody asked for it, so nobody is warned"


def test_own_cache_leaves_out_what_is_packed_in_a_moment(tmp_path):
    cache = WeightCache(tmp_path / "weights", is_bounded=True)
    assert not cache.try_store("tiny", 1 << 20, writer(b"x"))
    assert not cache.directory.exists()


def test_replaced_entry_counts_as_free(bounded):
    assert bounded.try_store("a", 100, writer(b"x" * 100))
    assert bounded.try_store("a", 100, writer(b"y" * 100))
    assert bounded.path("a").read_bytes() == b"y" * 100
