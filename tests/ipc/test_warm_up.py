from __future__ import annotations

from typing import Any

import pytest

from sglite.errors import EngineDeadError, ModelLoadError
from sglite.ipc.client import InProcessClient
from sglite.ipc.warm_up import warm_up
from tests.scheduler.harness import SchedulerDriver


@pytest.mark.parametrize("page_size", [1, 16])
def test_it_computes_and_leaves_no_trace(page_size: int) -> None:
    driver = SchedulerDriver.make(page_size=page_size)
    client = InProcessClient(driver.engine)
    warm_up(client)
    stats = client.call(lambda engine: engine.stats())
    client.close()
    assert len(driver.executor.plans) == 2
    assert stats["num_steps"] == stats["cache_num_cached_tokens"] == 0
    assert stats["cache_num_free_tokens"] == 256 * page_size


def test_a_model_that_computes_no_numbers_is_refused() -> None:
    driver = SchedulerDriver.make()
    driver.executor.invalid_requests.add("warm-up")
    client = InProcessClient(driver.engine)
    with pytest.raises(ModelLoadError, match="not a number"):
        warm_up(client)
    client.close()


def test_a_fault_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = SchedulerDriver.make()

    def fail(handle: Any) -> Any:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(driver.executor, "collect", fail)
    client = InProcessClient(driver.engine)
    with pytest.raises(EngineDeadError, match="the device is gone"):
        warm_up(client)
    client.close()
