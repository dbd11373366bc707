import os

import pytest

from sglite.cli.machine import Cores, cpu_flags, cpu_name, huge_pages, read_cores

X86 = ("processor : 0", "model name : Some CPU @ 2 GHz", "flags : fpu fma avx2 avx512f amx_tile")
ARM = ("processor : 0", "Features : fp asimd bf16", "", "Model : A board")


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


def test_x86_flags_are_told_present_and_absent(machine):
    flags = cpu_flags(machine("proc/cpuinfo", *X86))
    assert [flag for flag, is_there in flags.items() if is_there] == [
        "avx2",
        "fma",
        "avx512f",
        "amx_tile",
    ]
    assert flags["avx512_bf16"] is False


def test_arm_has_flags_of_its_own(machine):
    flags = cpu_flags(machine("proc/cpuinfo", *ARM))
    assert flags["asimd"] and flags["bf16"] and not flags["sve"] and "avx2" not in flags


def test_cpu_has_the_name_that_the_system_gives(machine):
    assert cpu_name(machine("proc/cpuinfo", *X86)) == "Some CPU @ 2 GHz"
    assert cpu_name(machine("proc/cpuinfo", *ARM)) == "A board"


def test_where_the_system_says_nothing_so_do_we(tmp_path):
    assert cpu_flags(tmp_path) == {} and huge_pages(tmp_path) is None
    assert cpu_name(tmp_path) and read_cores(tmp_path).quota is None


def test_the_setting_of_huge_pages_is_the_one_in_brackets(machine):
    path = "sys/kernel/mm/transparent_hugepage/enabled"
    assert huge_pages(machine(path, "always [madvise] never")) == "madvise"
    assert huge_pages(machine(path, "always madvise [never]")) == "never"
