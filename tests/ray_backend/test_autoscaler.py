from __future__ import annotations

import pytest

from sglite.errors import ConfigError
from sglite.ray_backend.autoscaler import FleetLoad, ScalingRules, ScalingState, decide

RULES = ScalingRules(
    min_engines=1, max_engines=3, scale_up_requests=8, up_after_s=3.0, down_after_s=10.0
)

# Open requests at each second, and how many engines there are after it; all are ready at once.
COURSES = {
    "quiet": ([0] * 30, [1] * 30),
    "a short burst changes nothing": ([20, 20, 20, 0, 0, 0], [1] * 6),
    "a lasting load brings one": ([8, 8, 8, 8, 8], [1, 1, 1, 2, 2]),
    "each further one takes as long": ([99] * 9, [1, 1, 1, 2, 2, 2, 2, 3, 3]),
    "never more than the most": ([999] * 12, [1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3]),
    "between the thresholds nothing happens": ([8] * 4 + [5] * 30, [1] * 3 + [2] * 31),
    "down when one less suffices": ([8] * 4 + [4] * 12, [1] * 3 + [2] * 11 + [1] * 2),
    "a peak starts the wait again": (
        [8] * 4 + [4] * 9 + [5] + [4] * 12,
        [1] * 3 + [2] * 21 + [1] * 2,
    ),
}


@pytest.mark.parametrize("name", COURSES)
def test_a_course_of_loads(name: str) -> None:
    loads, expected = COURSES[name]
    state, num_engines, seen = ScalingState(), 1, []
    for second, num_open in enumerate(loads):
        load = FleetLoad(num_engines, num_engines, num_open)
        state, num_engines = decide(RULES, state, load, float(second))
        seen.append(num_engines)
    assert seen == expected


def test_one_goes_after_another_not_all_at_once() -> None:
    state, num_engines, when = ScalingState(), 3, []
    for second in range(40):
        state, wanted = decide(RULES, state, FleetLoad(num_engines, num_engines, 0), float(second))
        if wanted != num_engines:
            when.append(second)
        num_engines = wanted
    assert num_engines == 1 and when == [10, 20]


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (FleetLoad(0, 0, 0), 1),  # at the least, whatever the load
        (FleetLoad(4, 4, 999), 3),  # at the most
        (FleetLoad(2, 1, 999), 2),  # one still loads
        (FleetLoad(2, 2, 999), 3),
    ],
)
def test_limits_and_engines_that_load(load: FleetLoad, wanted: int) -> None:
    busy_long = ScalingState(busy_since_s=0.0)
    assert decide(RULES, busy_long, load, 100.0)[1] == wanted


def test_as_many_at_least_as_at_most_changes_nothing() -> None:
    rules = ScalingRules(min_engines=2, max_engines=2, scale_up_requests=1)
    for num_open in (0, 1000):
        state = ScalingState(busy_since_s=0.0, idle_since_s=0.0)
        assert decide(rules, state, FleetLoad(2, 2, num_open), 1e6)[1] == 2


def test_limits_that_contradict_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_replicas is 4 and max_replicas 2"):
        ScalingRules(min_engines=4, max_engines=2, scale_up_requests=8)
