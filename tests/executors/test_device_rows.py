"""What the device holds of the rows is what the host thinks it holds, once both are at rest."""

from __future__ import annotations

import pytest
import torch

from sglite.executors.device_rows import DeviceRows
from sglite.kvcache.groups import KVGroup
from sglite.kvcache.kv_pool import KVPool
from sglite.request import LogprobParams, SamplingParams
from sglite.scheduler.plan import RowSetup, StepPlan
from tests.device_double import LazyDevice

GROUPS = (KVGroup("paged_full", (0,)), KVGroup("paged_window", (1, 2), window=8))
NUM_PAGES = (40, 20)
VOCAB_SIZE, MAX_ROWS, MAX_PAGES = 100, 4, 6


@pytest.fixture
def device() -> LazyDevice:
    return LazyDevice()


def make_rows(device: LazyDevice, *, max_rows: int = MAX_ROWS, max_pages: int = MAX_PAGES):
    pool = KVPool(
        GROUPS,
        NUM_PAGES,
        page_size=4,
        num_kv_heads=1,
        head_dim=8,
        dtype=torch.float32,
        has_spare_page=True,
    )
    return DeviceRows(
        pool, vocab_size=VOCAB_SIZE, max_rows=max_rows, max_pages=max_pages, device=device
    )


@pytest.fixture
def rows(device: LazyDevice) -> DeviceRows:
    return make_rows(device)


def setup(row: int, *pages: list[int], seed: int = 0, scores: bool = False, **sampling) -> RowSetup:
    return RowSetup(
        row=row,
        request_id=f"r{row}",
        sampling=SamplingParams(**sampling),
        logprobs=LogprobParams(top_num=1) if scores else None,
        seed=seed,
        stop_token_ids=(),
        num_prompt_tokens=8,
        page_ids=pages or ([], []),
        output_token_ids=[],
    )


def plan_of(*setups: RowSetup, entries: tuple[tuple[int, int, int, int], ...] = ()) -> StepPlan:
    """``entries`` are page table updates: group, row, index, page."""
    plan = StepPlan(1, len(GROUPS), added_rows=list(setups))
    for group, row, index, page in entries:
        plan.page_updates[group].add(row, index, page)
    return plan


def follow(rows: DeviceRows, plan: StepPlan) -> None:
    rows.enqueue(rows.apply(plan), plan.added_rows)


def parameters_of(rows: DeviceRows, row: int) -> dict[str, float]:
    names = ("temperature", "top_p", "min_p", "seed", "top_k")
    return {name: getattr(rows.parameters, f"{name}_W")[row].item() for name in names}


def tables(rows: DeviceRows, row: int) -> list[list[int]]:
    return [table[row].tolist() for table in rows.page_tables]


def test_parameters_are_written_to_their_rows(rows: DeviceRows, device: LazyDevice) -> None:
    first = setup(3, seed=7, temperature=0.75, top_p=0.5, top_k=20, min_p=0.125)
    second = setup(1, seed=8, temperature=1.5, top_k=-1)
    follow(rows, plan_of(first, second))
    assert parameters_of(rows, 3)["seed"] == 0, "nothing is done before somebody waits"
    device.synchronize()
    assert parameters_of(rows, 3) == {
        "temperature": 0.75,
        "top_p": 0.5,
        "min_p": 0.125,
        "seed": 7,
        "top_k": 20,
    }
    # A top_k of -1, or beyond the vocabulary, filters nothing.
    assert parameters_of(rows, 1) == {
        "temperature": 1.5,
        "top_p": 1.0,
        "min_p": 0.0,
        "seed": 8,
        "top_k": VOCAB_SIZE,
    }
    assert parameters_of(rows, 0)["seed"] == parameters_of(rows, 2)["seed"] == 0


@pytest.mark.parametrize("seed", [-1, 1, 2**31, -(2**31) - 1, 2**32 + 5, 2**63 - 1, -(2**63)])
def test_seeds_keep_all_of_their_bits(rows: DeviceRows, device: LazyDevice, seed: int) -> None:
    follow(rows, plan_of(setup(0, seed=3), setup(2, seed=seed)))
    device.synchronize()
    assert rows.parameters.seed_W.tolist() == [3, 0, seed, 0, 0]


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.0},
        {"temperature": 1e-7},
        {"temperature": 0.9, "top_k": 1},
        {"temperature": 0.9, "presence_penalty": 0.5},
        {"temperature": 0.9, "repetition_penalty": 1.2},
        {"temperature": 0.9, "logit_bias": {3: 1.0}},
        {"temperature": 0.9, "min_new_tokens": 2},
        {"temperature": 0.9, "scores": True},
    ],
    ids=lambda sampling: ",".join(sampling),
)
def test_greedy_rows_and_rows_for_the_sampler_have_no_temperature(
    rows: DeviceRows, device: LazyDevice, sampling: dict[str, object]
) -> None:
    follow(rows, plan_of(setup(1, **sampling), setup(2, temperature=0.9)))
    device.synchronize()
    temperature_W = rows.parameters.temperature_W
    assert temperature_W.tolist() == pytest.approx([0.0, 0.0, 0.9, 0.0, 0.0])
    is_greedy = sampling["temperature"] < 1e-6 or sampling.get("top_k") == 1
    assert rows.needs_sampler == [False, not is_greedy, False, False, False]


def test_what_the_sampler_keeps_of_a_row_has_its_temperature(rows: DeviceRows) -> None:
    follow(rows, plan_of(setup(1, temperature=0.5, presence_penalty=1.0)))
    assert rows.sampling.floats[0, 1] == 0.5


def test_a_row_that_is_filled_again_forgets_who_was_there(
    rows: DeviceRows, device: LazyDevice
) -> None:
    follow(rows, plan_of(setup(1, seed=5, temperature=0.5, presence_penalty=1.0)))
    plan = plan_of(setup(1, seed=6, temperature=0.25))
    plan.cleared_rows = [1]
    follow(rows, plan)
    device.synchronize()
    assert not rows.needs_sampler[1]
    assert parameters_of(rows, 1)["temperature"] == 0.25
    assert parameters_of(rows, 1)["seed"] == 6


def test_page_tables_of_the_device_become_those_of_the_host(
    rows: DeviceRows, device: LazyDevice
) -> None:
    follow(rows, plan_of(setup(0, [1, 2, 3], [0, 4, 5]), setup(2, [6], [7])))
    follow(rows, plan_of(entries=((0, 2, 1, 8), (1, 2, 1, 9), (1, 0, 1, 0))))
    device.synchronize()
    for host, table in zip(rows.pages.tables, rows.page_tables, strict=True):
        assert table.tolist() == host.tolist()
    assert tables(rows, 0) == [[1, 2, 3, 0, 0, 0], [0, 0, 5, 0, 0, 0]]
    assert tables(rows, 2) == [[6, 8, 0, 0, 0, 0], [7, 9, 0, 0, 0, 0]]


def test_a_plan_that_writes_an_entry_twice_leaves_the_last(
    rows: DeviceRows, device: LazyDevice
) -> None:
    follow(rows, plan_of(setup(1, [5, 6], [7, 8]), entries=((0, 1, 1, 9), (0, 1, 1, 10))))
    device.synchronize()
    assert tables(rows, 1) == [[5, 10, 0, 0, 0, 0], [7, 8, 0, 0, 0, 0]]


def test_a_shorter_sequence_in_a_used_row_leaves_stale_pages_behind_it_alone(
    rows: DeviceRows, device: LazyDevice
) -> None:
    """The device clears nothing; the host's table, which checks read, has zeros."""
    follow(rows, plan_of(setup(1, [5, 6, 7], [5, 6, 7])))
    plan = plan_of(setup(1, [8], [9]))
    plan.cleared_rows = [1]
    follow(rows, plan)
    device.synchronize()
    assert tables(rows, 1) == [[8, 6, 7, 0, 0, 0], [9, 6, 7, 0, 0, 0]]
    assert rows.pages.tables[0][1].tolist() == [8, 0, 0, 0, 0, 0]


def test_the_spare_row_names_the_spare_page_of_each_group(
    rows: DeviceRows, device: LazyDevice
) -> None:
    follow(rows, plan_of(*(setup(row, [1 + row], [1 + row]) for row in range(MAX_ROWS))))
    device.synchronize()
    assert rows.spare_row == MAX_ROWS
    for group, num_pages in enumerate(NUM_PAGES):
        assert rows.page_tables[group][rows.spare_row].tolist() == [num_pages] * MAX_PAGES
        assert rows.pages.tables[group][rows.spare_row].tolist() == [num_pages] * MAX_PAGES
    assert parameters_of(rows, rows.spare_row)["temperature"] == 0.0


def test_steps_that_wait_for_each_other_keep_their_order(
    rows: DeviceRows, device: LazyDevice
) -> None:
    follow(rows, plan_of(setup(1, [2, 3], [4, 5], seed=1, temperature=0.5)))
    late = plan_of(setup(1, [6], [7], seed=2, temperature=0.25), setup(0, [8], [9], seed=3))
    late.cleared_rows = [1]
    follow(rows, late)
    assert device.num_done == 0
    device.synchronize()
    assert tables(rows, 1) == [[6, 3, 0, 0, 0, 0], [7, 5, 0, 0, 0, 0]]
    assert tables(rows, 0) == [[8, 0, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0]]
    assert rows.parameters.seed_W.tolist() == [3, 2, 0, 0, 0]


def test_a_long_prompt_behind_a_short_one_gets_larger_buffers(device: LazyDevice) -> None:
    rows = make_rows(device, max_rows=2, max_pages=3000)
    follow(rows, plan_of(setup(0, [1, 2], [3, 4], seed=1)))
    pages = [1 + index % 30 for index in range(3000)]
    follow(rows, plan_of(setup(1, pages, pages[::-1], seed=2)))
    assert device.num_done == 0
    device.synchronize()
    assert tables(rows, 1) == [pages, pages[::-1]]
    assert [table[:3] for table in tables(rows, 0)] == [[1, 2, 0], [3, 4, 0]]
    assert rows.parameters.seed_W.tolist() == [1, 2, 0]
