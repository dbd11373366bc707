"""The directory in which packed weights are kept for the next start, and what may lie in it.

Nothing here may stop a model from being loaded: a directory that is missing, read-only or full
costs the time of packing, and one warning. An entry is written beside its place and renamed, so a
reader finds a whole one or none, and of two writers the last one stays.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sglite.config_sources import cache_directory

SUFFIX = ".safetensors"
UNFINISHED_PREFIX = ".unfinished-"
ABANDONED_S = 3600.0
"""Age from which an unfinished file is taken for that of a process that is gone."""

SHARE_OF_DISK = 10
"""The user's own cache takes at most one part in so many of what the disk has for it."""
FEWEST_BYTES = 64 << 20
"""Less than this is packed in a moment."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WeightCache:
    """Packed weights of models in ``directory``, one file for each model and kind of pack.

    ``is_bounded``: nobody asked for this directory by name, so it stays small beside the disk, the
    entries that were used least recently go first, and what is packed in a moment is left out.
    """

    directory: Path
    is_bounded: bool = False

    @staticmethod
    def of(option: str) -> WeightCache | None:
        """What the option ``weight_cache`` asks for; None: nothing is kept."""
        if option == "off":
            return None
        if option != "auto":
            return WeightCache(Path(option).expanduser())
        try:
            return WeightCache(cache_directory() / "weights", is_bounded=True)
        except RuntimeError:  # a user without a home
            return None

    def path(self, name: str) -> Path:
        """Where the entry ``name`` is, if it is there."""
        return self.directory / f"{name}{SUFFIX}"

    def entries(self) -> list[Path]:
        """All entries, the least recently used first; none where the directory cannot be read."""
        try:
            found = [path for path in self.directory.iterdir() if _is_entry(path)]
            return sorted(found, key=lambda path: path.stat().st_mtime)
        except OSError:
            return []

    def num_bytes(self) -> int:
        """Size of all entries."""
        return sum(_size(path) for path in self.entries())

    def mark_used(self, name: str) -> None:
        """Let others go before this entry."""
        with suppress(OSError):
            os.utime(self.path(name))

    def try_store(self, name: str, num_bytes: int, write: Callable[[Path], None]) -> bool:
        """Keep what ``write`` writes to a path, about ``num_bytes``, as the entry ``name``.

        It replaces an older entry of that name. False where nothing was kept.
        """
        if self.is_bounded and num_bytes < FEWEST_BYTES:
            return False
        try:
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._remove_abandoned()
            if self.is_bounded and not self._try_make_room(name, num_bytes):
                return False
            self._replace(name, write)
        except OSError as error:
            fields = {
                "directory": str(self.directory),
                "reason": error.strerror or str(error),
                "lost": "the next start packs the weights again",
                "change": "free room or give another --weight-cache DIR; off tries no more",
            }
            logger.warning("weights_not_cached", extra={"fields": fields})
            return False
        return True

    def _replace(self, name: str, write: Callable[[Path], None]) -> None:
        handle, unfinished = tempfile.mkstemp(
            prefix=UNFINISHED_PREFIX, suffix=SUFFIX, dir=self.directory
        )
        os.close(handle)
        try:
            write(Path(unfinished))
            # Not flushed to the disk first: what a crash of the system loses is found by its sums.
            Path(unfinished).replace(self.path(name))
        except BaseException:
            with suppress(OSError):
                Path(unfinished).unlink()
            raise

    def _try_make_room(self, name: str, num_bytes: int) -> bool:
        """Remove entries until one of ``num_bytes`` fits; False, and none removed, if it cannot."""
        others = [path for path in self.entries() if path != self.path(name)]
        used = sum(_size(path) for path in others)
        free = shutil.disk_usage(self.directory).free + _size(self.path(name))
        limit = (free + used) // SHARE_OF_DISK
        if num_bytes > limit:
            fields = {"needed_bytes": num_bytes, "limit_bytes": limit}
            logger.info("weights_not_cached", extra={"fields": fields})
            return False
        for path in others:
            if used + num_bytes <= limit:
                break
            used -= _size(path)
            path.unlink(missing_ok=True)
        return True

    def _remove_abandoned(self) -> None:
        for path in self.directory.glob(f"{UNFINISHED_PREFIX}*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()


def _is_entry(path: Path) -> bool:
    is_named_so = path.suffix == SUFFIX and not path.name.startswith(UNFINISHED_PREFIX)
    return is_named_so and path.is_file()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
