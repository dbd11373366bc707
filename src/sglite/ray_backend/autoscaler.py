"""How many engines there should be, by the length of the queue. Pure: no clock, no Ray.

    state = ScalingState()
    state, wanted = decide(rules, state, load, now_s)

More are wanted once there have been ``scale_up_requests`` open requests per engine for
``up_after_s``; fewer once ``down_share`` of that, counted per engine as if one were gone already,
has been enough for ``down_after_s``. Between the two numbers nothing happens (hysteresis), and one
step waits until the one before shows (an engine that still loads is not joined by another).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sglite.errors import ConfigError

UP_AFTER_S = 3.0
DOWN_AFTER_S = 60.0
DOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ScalingRules:
    """The limits and thresholds; seconds are on the caller's clock."""

    min_engines: int
    max_engines: int
    scale_up_requests: int
    up_after_s: float = UP_AFTER_S
    down_after_s: float = DOWN_AFTER_S
    down_share: float = DOWN_SHARE

    def __post_init__(self) -> None:
        if self.min_engines > self.max_engines:
            raise ConfigError(
                f"min_replicas is {self.min_engines} and max_replicas {self.max_engines}; give at "
                "least as many replicas at most as at least"
            )


@dataclass(frozen=True, slots=True)
class FleetLoad:
    """What there is: ``num_engines`` in all, of which ``num_ready`` serve; requests that are open.

    Requests that wait for an engine are open too.
    """

    num_engines: int
    num_ready: int
    num_open: int


@dataclass(frozen=True, slots=True)
class ScalingState:
    """Since when the load has asked for more or for fewer engines; None while it does not."""

    busy_since_s: float | None = None
    idle_since_s: float | None = None


def decide(
    rules: ScalingRules, state: ScalingState, load: FleetLoad, now_s: float
) -> tuple[ScalingState, int]:
    """The state from now on, and the number of engines that is wanted: one more or less at most."""
    num_engines = load.num_engines
    if num_engines < rules.min_engines:
        return ScalingState(), num_engines + 1
    if num_engines > rules.max_engines:
        return ScalingState(), num_engines - 1
    state = _observed(rules, state, load, now_s)
    is_settled = load.num_ready == num_engines
    if state.busy_since_s is not None and now_s - state.busy_since_s >= rules.up_after_s:
        if num_engines < rules.max_engines and is_settled:
            return ScalingState(), num_engines + 1
    elif state.idle_since_s is not None and now_s - state.idle_since_s >= rules.down_after_s:
        return replace(state, idle_since_s=now_s), num_engines - 1
    return state, num_engines


def _observed(
    rules: ScalingRules, state: ScalingState, load: FleetLoad, now_s: float
) -> ScalingState:
    """Since when it is as it is now."""
    full = rules.scale_up_requests * load.num_engines
    enough = rules.down_share * rules.scale_up_requests * (load.num_engines - 1)
    is_busy = load.num_open >= full
    is_idle = load.num_open <= enough and load.num_engines > rules.min_engines
    return ScalingState(
        busy_since_s=_since(state.busy_since_s, is_busy, now_s),
        idle_since_s=_since(state.idle_since_s, is_idle, now_s),
    )


def _since(before_s: float | None, holds: bool, now_s: float) -> float | None:
    if not holds:
        return None
    return now_s if before_s is None else before_s
