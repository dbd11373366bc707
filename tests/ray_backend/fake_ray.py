"""As much of Ray as we use, in this process: actors start, are lost and come back on demand."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from tests.ray_backend.harness import turns


class RayError(Exception):
    """Ray's own base."""


class ActorUnavailableError(RayError):
    """Ray restarts it."""


class ActorDiedError(RayError):
    """Ray has given it up."""


class FakeActor:
    """``faults`` are raised by its next calls, one by each."""

    def __init__(self, actor: Any, faults: list[Exception]) -> None:
        self._actor = actor
        self.faults = faults

    def __getattr__(self, method: str) -> Any:
        async def call(*arguments: Any) -> Any:
            await turns(1)
            if self.faults:
                raise self.faults.pop(0)
            return await getattr(self._actor, method)(*arguments)

        return types.SimpleNamespace(remote=call)


class FakeRay:
    """``log`` tells what was asked of it. ``faults`` are those of the actors that are made next."""

    def __init__(self, nodes: list[dict[str, float]], address: str | None = None) -> None:
        self.log: list[Any] = []
        self.faults: list[list[Exception]] = []
        self.exceptions = types.SimpleNamespace(
            RayError=RayError, ActorUnavailableError=ActorUnavailableError
        )
        self.util = types.SimpleNamespace(
            placement_group=self._placement_group,
            remove_placement_group=lambda group: self.log.append(("removed", group)),
            placement_group_table=lambda group: {"bundles_to_node_id": {0: "node 0"}},
            scheduling_strategies=types.SimpleNamespace(
                PlacementGroupSchedulingStrategy=lambda group, index: (group, index)
            ),
        )
        self._nodes = nodes
        self._address = address
        self._num_groups = 0
        self._make: Callable[[], Any] = list

    def init(self, **options: Any) -> None:
        self.log.append(("init", options))
        if options["address"] not in (self._address, "local"):
            raise ConnectionError("Could not find any running Ray instance.\nMore of that.")

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": f"node {number}", "Alive": True, "Resources": resources}
            for number, resources in enumerate(self._nodes)
        ]

    def remote(self, actor_class: type) -> Any:
        return types.SimpleNamespace(options=lambda **options: self._class(actor_class, options))

    def kill(self, actor: FakeActor) -> None:
        self.log.append("killed")

    def shutdown(self) -> None:
        self.log.append("shutdown")

    def _class(self, actor_class: type, options: dict[str, Any]) -> Any:
        def make() -> FakeActor:
            self.log.append(("actor", options))
            return FakeActor(actor_class(), self.faults.pop(0) if self.faults else [])

        return types.SimpleNamespace(remote=make)

    def _placement_group(self, bundles: list[dict[str, float]], strategy: str) -> str:
        self._num_groups += 1
        self.log.append(("group", bundles, strategy))
        return f"group {self._num_groups}"
