from __future__ import annotations

from sglite.executors.device_arrays import run_offsets, token_arrays
from sglite.scheduler.plan import StepPlan


def test_a_step_of_single_tokens_and_chunks() -> None:
    """Single tokens are not known; of the chunks all are, and their ends count from the first."""
    plan = StepPlan(
        1,
        1,
        run_rows=[4, 2, 7, 0],
        run_starts=[9, 30, 0, 16],
        run_lengths=[1, 1, 3, 2],
        run_continues=[True, True, False, False],
        token_ids=[11, 12, 13, 21, 22],
        sample_runs=[0, 1, 3],
    )
    offsets = run_offsets(plan)
    assert offsets.tolist() == [0, 1, 2, 5, 7]
    arrays = {name: array.tolist() for name, array in token_arrays(plan, offsets).items()}
    assert arrays == {
        "rows": [4, 2, 7, 7, 7, 0, 0],
        "positions": [9, 30, 0, 1, 2, 16, 17],
        "known": [-1, -1, 11, 12, 13, 21, 22],
        "sample_rows": [4, 2, 0],
        "sample_positions": [10, 31, 18],
        "sample_tokens": [0, 1, 6],
        "chunk_offsets": [0, 3, 5],
    }


def test_a_step_that_samples_nothing() -> None:
    plan = StepPlan(
        1, 1, run_rows=[3], run_starts=[2], run_lengths=[2], run_continues=[False], token_ids=[5, 6]
    )
    arrays = token_arrays(plan, run_offsets(plan))
    assert arrays["sample_tokens"].tolist() == arrays["sample_rows"].tolist() == []
    assert arrays["chunk_offsets"].tolist() == [0, 2]
