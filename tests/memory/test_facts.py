import pytest
import torch

from sglite.memory.facts import MemoryFacts, read_gpu_memory, read_memory_facts

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path):
    """Files of a made-up machine with 32 GiB, 24 of them available; ``write`` adds more."""

    def write(path, *lines):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{line}\n" for line in lines))
        return tmp_path

    write("proc/meminfo", f"MemTotal: {32 << 20} kB", f"MemAvailable: {24 << 20} kB")
    write("proc/self/cgroup", "0::/")
    return write


def facts(machine):
    return read_memory_facts(machine("proc/uptime", "1"))


def test_without_a_limit_the_machine_counts(machine):
    assert facts(machine) == MemoryFacts(32 * GIB, 24 * GIB, "machine")
    machine("sys/fs/cgroup/memory.max", "max")
    assert facts(machine).bound_by == "machine"


def test_the_limit_of_version_2_counts_less_what_is_used(machine):
    machine("sys/fs/cgroup/memory.max", 8 * GIB)
    machine("sys/fs/cgroup/memory.current", 3 * GIB)
    machine("sys/fs/cgroup/memory.stat", f"inactive_file {GIB}", f"active_file {GIB}", "anon 9")
    assert facts(machine) == MemoryFacts(8 * GIB, 7 * GIB, "cgroup")


def test_the_limit_of_version_1_counts_less_what_is_used(machine):
    machine("proc/self/cgroup", "5:cpu:/a", "4:memory:/a/b", "0::/a/b")
    machine("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", 8 * GIB)
    machine("sys/fs/cgroup/memory/a/b/memory.usage_in_bytes", 3 * GIB)
    machine("sys/fs/cgroup/memory/a/b/memory.stat", f"total_inactive_file {GIB}")
    assert facts(machine) == MemoryFacts(8 * GIB, 6 * GIB, "cgroup")


def test_unlimited_in_version_1_is_a_huge_number(machine):
    machine("proc/self/cgroup", "4:memory:/")
    machine("sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    assert facts(machine) == MemoryFacts(32 * GIB, 24 * GIB, "machine")


def test_the_tightest_level_counts(machine):
    machine("proc/self/cgroup", "0::/outer/inner")
    machine("sys/fs/cgroup/outer/inner/memory.max", 16 * GIB)
    machine("sys/fs/cgroup/outer/inner/memory.current", 0)
    machine("sys/fs/cgroup/outer/memory.max", 4 * GIB)
    machine("sys/fs/cgroup/outer/memory.current", GIB)
    assert facts(machine) == MemoryFacts(4 * GIB, 3 * GIB, "cgroup")


def test_a_path_from_outside_the_container_falls_back_to_the_mount(machine):
    machine("proc/self/cgroup", "0::/../../docker/0f0f")
    machine("sys/fs/cgroup/memory.max", 4 * GIB)
    assert facts(machine).total_bytes == 4 * GIB


def test_a_limit_above_what_the_machine_has_changes_nothing(machine):
    machine("sys/fs/cgroup/memory.max", 64 * GIB)
    assert facts(machine) == MemoryFacts(32 * GIB, 24 * GIB, "machine")


def test_an_exceeded_limit_leaves_nothing(machine):
    machine("sys/fs/cgroup/memory.max", GIB)
    machine("sys/fs/cgroup/memory.current", 2 * GIB)
    assert facts(machine).available_bytes == 0


def test_without_proc_the_system_is_asked(tmp_path):
    found = read_memory_facts(tmp_path)
    assert found.total_bytes == found.available_bytes > 0


def test_this_machine_has_memory():
    found = read_memory_facts()
    assert 0 < found.available_bytes <= found.total_bytes


def test_a_gpu_is_asked_for_its_own_memory(monkeypatch):
    free = {0: GIB, 1: 3 * GIB}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[device.index], 8 * GIB))
    assert read_gpu_memory("cuda:1") == MemoryFacts(8 * GIB, 3 * GIB, "device")
