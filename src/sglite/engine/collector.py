"""Keeps Python's garbage collector out of the steps.

A full collection stops the host for tens of milliseconds, whenever so many objects were made; a
device behind it stands still. What the loop makes is freed by its reference counts, cycles wait.
"""

from __future__ import annotations

import gc

STEPS_BETWEEN = 1024
"""Steps after which the youngest objects are looked through, while the device is busy."""


class QuietCollector:
    """Automatic collection is off while there is work, if it was on before."""

    def __init__(self) -> None:
        self._was_on = False
        self._num_steps = 0

    def stepped(self) -> None:
        """A step was launched: the best time to be slow."""
        if gc.isenabled():
            gc.disable()
            self._was_on = True
        self._num_steps += 1
        if self._num_steps % STEPS_BETWEEN == 0:
            gc.collect(0)

    def rest(self) -> None:
        """There is nothing to do: leave the collector as it was found."""
        if self._was_on:
            self._was_on = False
            gc.enable()
