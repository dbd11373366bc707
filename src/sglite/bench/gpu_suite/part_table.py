"""The parts in the order of their value, with the seconds that each may take.

The sum is more than there is: a part also ends where the whole suite does. Those from ``offline``
to ``host`` share one engine; ``prefill`` needs another.
"""

from __future__ import annotations

PARTS: dict[str, float] = {
    "machine": 45.0,
    "kernels": 120.0,
    "parity": 120.0,
    "offline": 120.0,
    "single": 60.0,
    "decode_steps": 120.0,
    "trace": 60.0,
    "host": 60.0,
    "prefill": 60.0,
    "big": 150.0,
    "peers": 90.0,
}
