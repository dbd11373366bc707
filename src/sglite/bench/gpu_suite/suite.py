"""What a part is handed: the device, the sizes, the time that is left, a place for its results."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sglite.bench.gpu_suite.results import Recorder, try_read_part
from sglite.bench.gpu_suite.roofline import NOMINAL, Rates
from sglite.bench.gpu_suite.sizes import Sizes

if TYPE_CHECKING:
    from sglite.bench.gpu_suite.driving import Runner

READ, PRODUCT = "read bandwidth", "bfloat16 product"
"""Figures of the part ``machine`` that the limits of all others follow from."""


class LeftOutError(Exception):
    """A part cannot run here, or has no time left; the message says which."""


@dataclass(slots=True)
class Suite:
    """One run of the suite, as its parts see it. ``ends_at_s`` is on the clock ``time.time``.

    ``runner`` is the engine that was used last, with what it was made of: the next part may want
    the same.
    """

    out: Path
    sizes: Sizes
    device: torch.device
    ends_at_s: float
    recorder: Recorder
    runner: Runner | None = None
    runner_key: tuple[object, ...] = field(default=())

    @property
    def is_cuda(self) -> bool:
        """True on a GPU, where the figures mean something."""
        return self.device.type == "cuda"

    @property
    def left_s(self) -> float:
        """Seconds until this part should be done."""
        return self.ends_at_s - time.time()

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, keys and values."""
        dtype = getattr(torch, self.sizes.dtype)
        assert isinstance(dtype, torch.dtype)
        return dtype

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.strftime('%H:%M:%S')} {self.recorder.result.name}: {text}", flush=True)

    def figure(self, name: str, value: float, unit: str, limit: float | None = None) -> None:
        """Note and say a measurement."""
        figure = self.recorder.figure(name, value, unit, limit)
        share = "" if figure.share is None else f" ({figure.share:.0%} of the limit)"
        self.say(f"{name}: {value:,.4g} {unit}{share}")

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        """Note whether something holds; say so where it does not."""
        self.recorder.check(name, passed, detail)
        if not passed:
            self.say(f"FAILED {name}: {detail}")

    def rates(self) -> Rates:
        """What the part ``machine`` measured; figures about an H200 where it did not run."""
        machine = try_read_part(self.out, "machine")
        read = machine.figure(READ) if machine else None
        product = machine.figure(PRODUCT) if machine else None
        if read is None or product is None:
            self.recorder.detail("rates", "nominal: the part `machine` has not measured them")
            return NOMINAL
        return Rates(read.value * 1e9, product.value * 1e12)

    def synchronize(self) -> None:
        """Wait until the device has nothing to do."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def close_runner(self) -> None:
        """Give up the engine and its memory."""
        if self.runner is not None:
            self.runner.close()
            self.runner, self.runner_key = None, ()
