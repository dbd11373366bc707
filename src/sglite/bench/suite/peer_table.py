"""The peers that come along: which file speaks to each, which workloads it is worth its time on.

A workload that a peer is known to be far behind in, or that says nothing about it, is left out:
``--peer-workloads`` overrides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sglite.bench.suite.peer_process import PEERS
from sglite.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerKind:
    """``environment`` may name ``{last_core}``; ``options`` are keywords of the adapter's class."""

    adapter: Path
    jobs: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def environment_for(self, num_threads: int) -> dict[str, str]:
        """The variables to set, for so many compute threads."""
        last_core = num_threads - 1
        return {name: text.format(last_core=last_core) for name, text in self.environment.items()}


_VLLM = PeerKind(
    adapter=PEERS / "vllm.py",
    jobs=("W0", "W1", "W2", "W3", "W6", "W7", "W5/W1"),
    environment={
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_CPU_OMP_THREADS_BIND": "0-{last_core}",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    },
)
_LLAMACPP = PeerKind(adapter=PEERS / "llamacpp.py", jobs=("W0", "W1", "W2", "W5/W1"))

KINDS: dict[str, PeerKind] = {
    "transformers": PeerKind(adapter=PEERS / "transformers.py", jobs=("W1",)),
    "vllm": _VLLM,
    "vllm-int8": replace(_VLLM, jobs=("W2", "W3")),
    "llamacpp": _LLAMACPP,
    "llamacpp-q8_0": replace(_LLAMACPP, jobs=("W1",), options={"dtype": "q8_0"}),
    "llamacpp-q4_0": replace(_LLAMACPP, jobs=("W1", "W2"), options={"dtype": "q4_0"}),
    "openvino": PeerKind(
        adapter=PEERS / "openvino.py", jobs=("W0", "W1", "W2", "W4", "W5/W1", "W5/W2")
    ),
}


def peer_kind(name: str, adapter: str | None, every_job: tuple[str, ...]) -> PeerKind:
    """The kind of ``NAME`` or ``NAME-anything``, or a file of the user's. Raises ConfigError."""
    if adapter is not None:
        if not Path(adapter).is_file():
            raise ConfigError(f"--adapter {name}: there is no file {adapter}")
        return PeerKind(adapter=Path(adapter).resolve(), jobs=every_job)
    kind = KINDS.get(name) or KINDS.get(name.partition("-")[0])
    if kind is None:
        raise ConfigError(
            f"--peer {name!r:.40}: known are {', '.join(KINDS)}; for another engine give "
            "--adapter NAME=FILE"
        )
    return kind
