"""What several engines are together."""

from __future__ import annotations

import msgspec

from sglite.ipc.fleet_state import merged_heartbeat, merged_ready
from sglite.ipc.messages import Heartbeat
from tests.ipc.fake_members import ready


def test_what_fits_both_engines_and_the_options_of_the_server() -> None:
    slow = msgspec.structs.replace(ready(context_length=800), startup_s=7.0)
    both = merged_ready(slow, ready(pool_tokens=3000), num_engines=2)
    assert (both.context_length, both.pool_tokens, both.startup_s) == (800, 3000, 7.0)
    assert both.config == {"page_size": 2, "dp_size": 2}


def test_signs_of_life_are_added_up_and_the_oldest_counts() -> None:
    beats = [Heartbeat(0.1, 1, 2, 3, 40), None, Heartbeat(0.4, 5, 6, 7, 80)]
    assert merged_heartbeat(beats, num_waiting=9) == Heartbeat(0.4, 6, 17, 10, 120)
    assert merged_heartbeat([None], num_waiting=9) is None
