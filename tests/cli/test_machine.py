import pytest

from sglite.cli.machine import cpu_flags, cpu_name, huge_pages, nvidia_driver

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
    assert cpu_name(tmp_path)


def test_the_setting_of_huge_pages_is_the_one_in_brackets(machine):
    path = "sys/kernel/mm/transparent_hugepage/enabled"
    assert huge_pages(machine(path, "always [madvise] never")) == "madvise"
    assert huge_pages(machine(path, "always madvise [never]")) == "never"


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27 07:12:02 UTC 2026",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build",
    ],
)
def test_the_driver_of_a_gpu_is_told_by_its_version(machine, line):
    root = machine("proc/driver/nvidia/version", line, "GCC version: gcc version 130.2.0")
    assert nvidia_driver(root) == "580.65.06"


def test_without_a_gpu_there_is_no_driver(machine):
    assert nvidia_driver(machine("proc/uptime", "1")) is None
