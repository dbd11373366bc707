"""T3 by another hand: schemathesis makes calls of /openapi.json, by it and against it."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from tests.server.live import live_server

schemathesis = pytest.importorskip("schemathesis")

OPTIONS = ("--context-length=256", "--max-total-tokens=1024", "--check")
NUM_EXAMPLES = 100
"""For each operation, method and mode."""
TIMEOUT_S = 20.0


def run_operation(operation: Any, mode: Any, url: str, statuses: Counter[int]) -> None:
    """Call one operation with generated values; AssertionError for a fault of the server."""

    @settings(
        max_examples=NUM_EXAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call(base_url=url, timeout=TIMEOUT_S)
        statuses[answer.status_code] += 1
        assert answer.status_code < 500 or answer.status_code == 503, (case, answer.text)
        assert '"internal_error"' not in answer.text, (case, answer.text)
        if operation.path == "/pause_generation":
            httpx.post(f"{url}/continue_generation").raise_for_status()

    with contextlib.suppress(Unsatisfiable):  # without a value there is nothing to do wrong
        check()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of another project are its own concern
def test_what_the_description_of_the_api_allows_and_forbids_is_never_a_fault(
    tmp_path: Path,
) -> None:
    statuses: Counter[int] = Counter()
    with live_server(*OPTIONS, directory=tmp_path) as server:
        pids = [server.process.pid, *server.running("ipc.engine_process")]
        schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
        operations = [each.ok() for each in schema.get_all_operations()]
        for operation in operations:
            for mode in schemathesis.GenerationMode:
                run_operation(operation, mode, server.url, statuses)
        assert [server.process.pid, *server.running("ipc.engine_process")] == pids
        assert "Traceback" not in server.errors
    print(f"{len(operations)} operations, {statuses.total()} calls: {dict(statuses)}")
    assert statuses[200] > 0 and statuses[400] > 0
