"""An engine of a fleet: whose outputs have begun, and who hears of what."""

from __future__ import annotations

from typing import Any

from sglite.ipc.fleet_member import Member
from sglite.request import OutputBatch
from tests.ipc.fake_members import FakeClient
from tests.ipc.harness import run
from tests.ipc.test_prompt_groups import group


class Fleet:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def take_outputs(self, batch: OutputBatch) -> None:
        self.heard.append(batch)

    def take_refusal(self, request_id: str, error: Exception) -> None:
        self.heard.append((request_id, error))

    def lose(self, member: Member, reason: str) -> None:
        self.heard.append((member, reason))


def test_it_notes_what_has_begun_and_passes_everything_on() -> None:
    async def work() -> None:
        fleet, samples, fault = Fleet(), group("a", "a1"), ValueError("why")
        member = Member(fleet, 3, FakeClient())
        member.submit(samples)
        batch = OutputBatch(started=[("a1", 0), ("unknown", 0)])
        member.deliver(batch)
        assert samples.heard_of == {"a1"}
        member.refuse("a", fault)
        member.refuse(None, fault)
        assert fleet.heard == [batch, ("a", fault), (member, "why")]

    run(work())
