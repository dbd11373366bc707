"""Outputs that nobody reads token by token, kept together for a moment.

Telling a caller costs a wake-up of its thread, or a frame to its process, on cores that compute the
next token. A small model's step takes less than a millisecond: told after each one, a caller that
only wants the whole answer took a fifth of the speed.
"""

from __future__ import annotations

from sglite.request import OutputBatch, Request

HOLD_S = 0.1
"""How long outputs are kept at most while the engine steps: progress bars still move."""


class HeldOutputs:
    """What has been produced and not told. Nothing is held while a streamed request is open."""

    def __init__(self, hold_s: float = HOLD_S) -> None:
        self._hold_s = hold_s
        self._held = OutputBatch()
        self._told_s = 0.0
        self._streamed: set[str] = set()

    def expect(self, request: Request) -> None:
        """A request was accepted; its end is named in the outputs."""
        if request.is_streamed:
            self._streamed.add(request.request_id)

    def pass_on(self, outputs: OutputBatch, now_s: float) -> OutputBatch:
        """What to tell now, given what a step has just produced; empty where that can wait."""
        can_wait = not (self._streamed or outputs.finished)
        if can_wait and now_s - self._told_s < self._hold_s:
            self._held.extend(outputs)
            return OutputBatch()
        self._told_s = now_s
        self._streamed.difference_update(finish.request_id for finish in outputs.finished)
        if not self._held:
            return outputs
        held, self._held = self._held, OutputBatch()
        held.extend(outputs)
        return held
