import os

import pytest

from sglite.host.cores import Cores, read_cores, usable_cores, whole_cores


@pytest.fixture
def machine(tmp_path):
    """Files of a made-up machine without limits; ``write`` adds more and gives the root."""

    def write(path, *lines):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{line}\n" for line in lines))
        return tmp_path

    write("proc/self/cgroup", "0::/")
    return write


def quota(root):
    return read_cores(root).quota


def test_without_a_limit_all_usable_cores_are_effective(machine):
    cores = read_cores(machine("sys/fs/cgroup/cpu.max", "max 100000"))
    assert cores.quota is None and cores.total == os.cpu_count()
    assert cores.effective == cores.usable == len(os.sched_getaffinity(0))


def test_quota_of_version_2_is_its_share_of_the_period(machine):
    assert quota(machine("sys/fs/cgroup/cpu.max", "150000 100000")) == 1.5


def test_quota_of_version_1_is_its_share_of_the_period(machine):
    machine("proc/self/cgroup", "4:memory:/m", "1:cpu:/a/b", "0::/")
    machine("sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "50000")
    assert quota(machine("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "200000")) == 4
    assert quota(machine("sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1")) is None


def test_the_tightest_level_counts(machine):
    machine("proc/self/cgroup", "0::/outer/inner")
    machine("sys/fs/cgroup/outer/inner/cpu.max", "400000 100000")
    assert quota(machine("sys/fs/cgroup/outer/cpu.max", "200000 100000")) == 2


@pytest.mark.parametrize(("limit", "effective"), [(None, 4), (8.0, 4), (1.5, 1.5)])
def test_effective_is_the_tighter_of_affinity_and_quota(limit, effective):
    assert Cores(total=16, usable=4, quota=limit).effective == effective


def test_where_the_system_says_nothing_nothing_limits(tmp_path):
    assert read_cores(tmp_path).quota is None
    assert whole_cores([3, 1], tmp_path) == [3, 1]


def test_usable_cores_are_those_of_this_process():
    assert usable_cores() == sorted(os.sched_getaffinity(0))


def test_of_siblings_only_the_first_is_a_whole_core(machine):
    for number, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        root = machine(
            f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list", siblings
        )
    assert whole_cores([0, 1, 2, 3], root) == [0, 1]
    assert whole_cores([2, 3], root) == [2, 3]
