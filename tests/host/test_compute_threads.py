import logging
import os
import threading

import pytest
import torch

from sglite.errors import ConfigError
from sglite.host.compute_threads import (
    ComputeThreads,
    choose_threads,
    divide_threads,
    settle_threads,
)
from sglite.host.cores import Cores
from sglite.host.share import HostShare
from sglite.kernels import cpu

EIGHT = list(range(8))


def choose(option, *, usable=EIGHT, quota=None, default=8, whole=list):
    return choose_threads(option, Cores(16, len(usable), quota), usable, default, whole)


@pytest.fixture
def torch_threads():
    """Puts torch's threads back as they were."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_threads_are_pinned_where_there_are_cores_to_spare():
    assert choose("auto") == ComputeThreads(8, tuple(EIGHT))
    assert choose("auto", usable=[2, 3], default=2) == ComputeThreads(2)
    assert choose("any") == ComputeThreads(8)


def test_there_are_never_more_threads_than_the_quota_pays_for():
    assert choose("auto", quota=2.5) == ComputeThreads(2)
    assert choose("auto", quota=0.5) == ComputeThreads(1)
    assert choose("any", quota=6) == ComputeThreads(6)


def test_torchs_own_number_is_not_exceeded():
    assert choose("auto", default=6) == ComputeThreads(6, (0, 1, 2, 3, 4, 5))


def test_under_a_quota_nothing_is_pinned():
    assert choose("auto", quota=7) == ComputeThreads(7)
    assert choose("auto", quota=8) == ComputeThreads(8, tuple(EIGHT))


def test_no_two_threads_are_pinned_to_siblings():
    assert choose("auto", whole=lambda numbers: numbers[::2]) == ComputeThreads(8)
    assert choose("auto", default=5, usable=list(range(10)), whole=lambda n: n[::2]) == (
        ComputeThreads(5, (0, 2, 4, 6, 8))
    )


@pytest.mark.parametrize(
    ("text", "cores"), [("3", (3,)), ("0-2", (0, 1, 2)), (" 6 , 1-2", (6, 1, 2))]
)
def test_a_list_takes_a_thread_for_each(text, cores):
    assert choose(text) == ComputeThreads(len(cores), cores)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cpu_cores: '' is not allowed; give auto, any, or cores as in 0-3,8"),
        ("all", "'all' is not allowed"),
        ("1,,2", "'1,,2' is not allowed"),
        ("1-x", "'1-x' is not allowed"),
        ("-1", "'-1' is not allowed"),
        ("8", "'8' is not among 0, 1, 2, 3, 4, 5, 6, 7"),
        ("6-9", "'6-9' is not among"),
        ("5-2", "cpu_cores: '5-2' runs backwards; give 2-5"),
        ("1,0-1", "'1,0-1' names a core twice; give each once"),
    ],
)
def test_a_bad_list_is_one_clear_message(text, message):
    with pytest.raises(ConfigError) as caught:
        choose(text)
    assert message in str(caught.value)


def test_processes_have_disjoint_parts_of_the_threads():
    parts = [divide_threads(choose("auto"), HostShare(index, 3)) for index in range(3)]
    assert parts == [
        ComputeThreads(3, (0, 1, 2)),
        ComputeThreads(3, (3, 4, 5)),
        ComputeThreads(2, (6, 7)),
    ]
    assert divide_threads(choose("6,1-2"), HostShare(1, 2)) == ComputeThreads(1, (2,))
    assert divide_threads(choose("any"), HostShare(1, 2)) == ComputeThreads(4)
    assert divide_threads(choose("auto"), HostShare()) == choose("auto")


def test_more_processes_than_threads_have_one_each():
    parts = [divide_threads(choose("2,5"), HostShare(index, 3)) for index in range(3)]
    assert parts == [ComputeThreads(1, (place,)) for place in (2, 5, 2)]
    few = choose("auto", usable=[3], default=1)
    assert divide_threads(few, HostShare(1, 2)) == ComputeThreads(1)


def test_settling_takes_this_process_s_part(torch_threads):
    first = min(os.sched_getaffinity(0))
    assert settle_threads(str(first), HostShare(3, 4)) == ComputeThreads(1, (first,))


def test_settling_sets_torchs_threads_and_logs_them(torch_threads, caplog):
    caplog.set_level(logging.INFO)
    first = min(os.sched_getaffinity(0))
    assert settle_threads(str(first)) == ComputeThreads(1, (first,))
    assert torch.get_num_threads() == 1
    assert "compute_threads" in caplog.text


def test_all_but_the_calling_thread_stay_where_they_are_pinned():
    # In a thread of its own, whose pool of compute threads is its own as well.
    extension = cpu.extension()
    usable = sorted(os.sched_getaffinity(0))
    if extension is None or len(usable) < 2:
        pytest.skip("two cores and the compiled kernels are needed")
    seen: list[set[int]] = []

    def work():
        extension.pin_threads(usable[:2])
        before = set(os.listdir("/proc/self/task"))
        packed = torch.zeros(16 * 64)
        extension.pack(torch.ones(16, 64), packed, 0, 1, 2)
        new = set(os.listdir("/proc/self/task")) - before
        seen.extend(os.sched_getaffinity(int(task)) for task in new)
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    extension.pin_threads([])
    assert seen == [{usable[1]}, set(usable)]
