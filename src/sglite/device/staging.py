"""The way of a step's small arrays to the device: all of them in one copy.

host    | rows | positions | ...          |  one of a few pinned buffers, in turn
           │ one copy, in the order of the device's work
device  | rows | positions | ...          |  one buffer, whose parts keep their addresses
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from sglite.device.device import Device, Event

Int32Array = np.ndarray[tuple[int, ...], np.dtype[np.int32]]

ALIGNMENT = 4
"""Words (16 bytes): an array starts where a device reads fastest."""


class Layout:
    """Where each array of a step lies: ``spans`` by name, in words of a buffer of ``num_words``."""

    def __init__(self, capacities: Mapping[str, int]) -> None:
        self.spans: dict[str, slice] = {}
        begin = 0
        for name, count in capacities.items():
            self.spans[name] = slice(begin, begin + count)
            begin += -(-count // ALIGNMENT) * ALIGNMENT
        self.num_words = begin


class Staging:
    """Buffers for arrays of up to ``num_words`` words; ``copies`` of them on the host.

    A buffer is written again once its last copy was done, so the host runs up to ``copies`` sends
    ahead of the device before it waits.
    """

    def __init__(self, device: Device, num_words: int, *, copies: int = 3) -> None:
        self._device = device
        self._copies = copies
        self._num_sent = 0
        self._done: list[Event | None] = [None] * copies
        self._allocate(num_words)

    def _allocate(self, num_words: int) -> None:
        self.num_words = num_words
        self._hosts = [self._device.host_words(num_words) for _ in range(self._copies)]
        self._arrays: list[Int32Array] = [host.numpy() for host in self._hosts]
        self._words = torch.zeros(num_words, dtype=torch.int32, device=self._device.torch_device)

    def reserve(self, num_words: int) -> None:
        """Make room, by other buffers if need be: what was bound before goes stale then."""
        if num_words > self.num_words:
            self._allocate(max(num_words, 2 * self.num_words))

    def bind(self, layout: Layout) -> dict[str, torch.Tensor]:
        """Flat int32 views of the device's buffer, by name."""
        assert layout.num_words <= self.num_words, (layout.num_words, self.num_words)
        return {name: self._words[span] for name, span in layout.spans.items()}

    def send(self, layout: Layout, arrays: Mapping[str, Int32Array]) -> None:
        """Enqueue one copy of ``arrays``, laid out by ``layout`` and padded with zeros."""
        assert layout.num_words <= self.num_words, (layout.num_words, self.num_words)
        turn = self._num_sent % self._copies
        self._num_sent += 1
        last = self._done[turn]
        if last is not None:
            last.wait()
        target = self._arrays[turn]
        for name, span in layout.spans.items():
            array = arrays[name]
            end = span.start + array.size
            assert end <= span.stop, (
                f"{name}: {array.size} words, room for {span.stop - span.start}"
            )
            target[span.start : end] = array.reshape(-1)
            target[end : span.stop] = 0
        source, words = self._hosts[turn][: layout.num_words], self._words[: layout.num_words]
        self._device.run(lambda: words.copy_(source, non_blocking=True))
        self._done[turn] = self._device.record()
