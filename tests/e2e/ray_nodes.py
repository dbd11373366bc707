"""A Ray cluster of several nodes on this machine, as a process that obeys lines on its input.

    python -m tests.e2e.ray_nodes     first says its address; then: add, kill, actors

Each answer is one line of JSON after ``ANSWER``. A cluster lives in a process of its own because
Ray's threads and warnings would stay in whichever imports it.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tests.server.live import SOURCES

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback interface alone
    "RAY_AUTH_MODE": "token",
    "RAY_worker_niceness": "0",
}
MARK = "ANSWER "


class RayNodes:
    """The process seen from a test: a head and one more node, each of one core."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.ray_nodes"],
            env={**environment, "PYTHONPATH": f"{SOURCES}:{SOURCES}/.."},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address: str = self._answer()

    def add(self) -> None:
        """One node more."""
        self._ask("add")

    def kill(self) -> None:
        """End the processes of the node that came last, and all that run there, by SIGKILL."""
        self._ask("kill")

    def actors(self) -> list[str]:
        """The nodes of the actors that live, one for each."""
        found: list[str] = self._ask("actors")
        return found

    def close(self) -> None:
        """End the cluster."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                return json.loads(line.removeprefix(MARK))
        raise AssertionError("the cluster's process has ended")


def settings() -> dict[str, str]:
    """The environment of all who belong to one cluster, with a key that only they have."""
    return SETTINGS | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextlib.contextmanager
def ray_nodes(environment: dict[str, str]) -> Iterator[RayNodes]:
    """A cluster with two nodes, and its end."""
    nodes = RayNodes(environment)
    try:
        yield nodes
    finally:
        nodes.close()


def main() -> None:
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    added = [cluster.add_node(**NODE)]
    ray.init(cluster.address, log_to_driver=False)
    print(MARK + json.dumps(cluster.address), flush=True)
    for line in sys.stdin:
        answer: Any = None
        if line.strip() == "add":
            added.append(cluster.add_node(**NODE))
        elif line.strip() == "kill":
            cluster.remove_node(added.pop(), allow_graceful=False)
        else:
            actors = ray._private.state.actors().values()
            answer = [each["Address"]["NodeID"] for each in actors if each["State"] == "ALIVE"]
        print(MARK + json.dumps(answer), flush=True)
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
