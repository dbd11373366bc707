from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from sglite.distributed.layout import RankLayout
from sglite.errors import RankLostError
from sglite.executors.forward_batch import AttentionMetadata, ForwardBatch
from sglite.executors.step_agreement import StepAgreement
from sglite.scheduler.plan import StepPlan
from tests.ranks.thread_ranks import open_all_groups

FIELDS = ("input_ids", "positions", "slots")


def batch(**changes: list[int]) -> ForwardBatch:
    values = {"input_ids": [5, 6, 7], "positions": [0, 1, 2], "slots": [8, 9, 10], **changes}
    ids, positions, slots = (torch.tensor(values[name]) for name in FIELDS)
    metadata = AttentionMetadata(
        page_table_RP=torch.zeros(1, 1, dtype=torch.int32),
        out_slots_T=slots,
        run_offsets=[0, 3],
        seq_lens=[3],
        seq_lens_R=torch.tensor([3], dtype=torch.int32),
        page_size=16,
        window=None,
    )
    return ForwardBatch(ids, positions, [metadata], [0])


def agree(
    batches: list[list[ForwardBatch]], *, drawn: list[int], drawing_rank: int = 0
) -> list[list[list[int]] | str]:
    """Each rank's tokens of some steps, or what it says of the step that it could not end."""
    layout = RankLayout(tp_size=len(batches))
    groups = open_all_groups(layout)
    plan = StepPlan(1, 1, run_rows=[0], run_lengths=[3], sample_runs=list(range(len(drawn))))

    def run(rank: int) -> list[list[int]] | str:
        group = groups[rank].ranks
        assert group is not None
        agreement = StepAgreement(
            group, max_rows=4, device=torch.device("cpu"), drawing_rank=drawing_rank
        )
        told = []
        try:
            for step in batches[rank]:
                agreement.begin(plan, step)
                ours = torch.tensor(drawn) if agreement.is_drawing else None
                told.append(agreement.share(plan, ours).tolist())
        except RankLostError as error:
            return str(error)
        return told

    with ThreadPoolExecutor(len(batches)) as pool:
        return list(pool.map(run, range(len(batches))))


@pytest.mark.parametrize("drawing_rank", [0, 2])
def test_all_ranks_get_what_one_draws(drawing_rank: int) -> None:
    found = agree([[batch(), batch()]] * 3, drawn=[41, 0], drawing_rank=drawing_rank)
    assert found == [[[41, 0], [41, 0]]] * 3


def test_steps_that_sample_nothing_agree_too() -> None:
    assert agree([[batch()]] * 2, drawn=[]) == [[[]]] * 2


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("place", [0, 2])
def test_any_other_number_is_found_by_all_in_that_step(name: str, place: int) -> None:
    values = {"input_ids": [5, 6, 7], "positions": [0, 1, 2], "slots": [8, 9, 10]}[name]
    values[place] ^= 1
    steps = [[batch(), batch()], [batch(), batch(**{name: values})]]
    found = agree(steps, drawn=[1])
    assert all("ranks disagree in step 1" in str(each) for each in found)
    assert found[0] == found[1]


def test_numbers_that_changed_places_are_found() -> None:
    assert "disagree" in str(agree([[batch()], [batch(input_ids=[6, 5, 7])]], drawn=[1])[0])


def test_long_batches_are_digested_whole() -> None:
    long = {name: list(range(3000)) for name in FIELDS}
    other = {**long, "input_ids": [*range(2999), 0]}
    assert agree([[batch(**long)]] * 2, drawn=[1]) == [[[1]]] * 2
    assert "disagree" in str(agree([[batch(**long)], [batch(**other)]], drawn=[1])[1])
