import json
import os
import types

import pytest
import torch

from sglite.cli import doctor, main
from sglite.config import EngineConfig
from sglite.config_resolve import resolve
from sglite.hardware import GpuFacts, HardwareFacts
from sglite.host.cores import Cores
from sglite.kernels import cpu
from sglite.memory import MemoryFacts

NAMES = (
    "sglite python torch cores threads cpu cpu_flags memory huge_pages extension cpu_kernels dtype "
    "weight_cache devices gpus gpu_packages attention ranks ray"
).split()


@pytest.fixture
def extension(monkeypatch):
    """Puts an extension with these instruction sets into the machine, or none and a reason."""

    def install(*names, why_missing=None):
        module = types.ModuleType("_cpu")
        module.__file__ = "/here/_cpu.so"
        module.instruction_sets = lambda: list(names)
        module.thread_source = lambda: "own threads"
        loaded = cpu.Loaded(None if why_missing else module, why_missing)
        monkeypatch.setattr(cpu, "load", lambda name: loaded)

    return install


def findings(capsys, *words):
    assert main(["doctor", "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_finding_has_a_value_and_a_reason(capsys):
    found = findings(capsys)
    assert list(found) == NAMES
    assert all(set(each) == {"value", "why"} for each in found.values())
    assert found["torch"]["value"] == torch.__version__
    assert found["threads"]["value"]["count"] == torch.get_num_threads()


def test_table_has_a_row_per_finding_and_keeps_to_its_width(capsys):
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if not line.startswith(" ")]
    assert [row.split("  ")[0].replace(" ", "_") for row in rows] == NAMES
    assert not any(line != line.rstrip() for line in lines)


def test_extension_is_told_with_its_file_and_its_threads(extension, capsys):
    extension("avx2", "portable")
    found = findings(capsys)
    assert found["extension"]["value"] == "/here/_cpu.so"
    assert found["threads"]["value"]["source"] == "own threads"
    assert found["cpu_kernels"] == {
        "value": {"option": "auto", "chosen": "avx2", "runnable": ["avx2", "portable"]},
        "why": "the fastest that was compiled and runs here, before portable",
    }


def test_missing_extension_is_told_with_what_is_lost_and_how_to_get_it(extension, capsys):
    extension(why_missing="it is broken")
    found = findings(capsys)
    assert found["extension"]["value"] is None
    assert found["extension"]["why"].startswith("it is broken; without it")
    assert "install a C++ compiler and run `pip install` again" in found["extension"]["why"]
    assert found["cpu_kernels"]["value"]["chosen"] is None
    assert found["cpu_kernels"]["why"] == "there is no extension"


@pytest.mark.parametrize(
    ("option", "chosen", "why"),
    [
        ("portable", "portable", "cpu_kernels is portable; this machine also runs avx2"),
        ("torch", None, "cpu_kernels is torch; this machine runs avx2, portable"),
        (
            "neon",
            None,
            "cpu_kernels: 'neon' (this machine cannot run it); give auto, avx2, portable or torch",
        ),
    ],
)
def test_option_decides_and_is_named(extension, monkeypatch, capsys, option, chosen, why):
    extension("avx2", "portable")
    monkeypatch.setenv("SGLITE_CPU_KERNELS", option)
    kernels = findings(capsys)["cpu_kernels"]
    assert (kernels["value"]["chosen"], kernels["why"]) == (chosen, why)


def test_another_device_needs_no_kernels(extension):
    extension("avx2")
    finding = doctor.about_kernels("auto", device="mps")
    assert (finding.text, finding.why) == ("none", "device is mps")


@pytest.mark.parametrize(("has_bfloat16", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_dtype_follows_from_the_cpu(monkeypatch, has_bfloat16, dtype):
    monkeypatch.setattr("sglite.models.weight_dtype.cpu_has_bfloat16", lambda: has_bfloat16)
    finding = doctor.about_dtype("auto", device="cpu")
    assert finding.value == dtype
    assert ("does not multiply bfloat16" in finding.why) is not has_bfloat16


def test_dtype_follows_from_the_option(capsys):
    assert findings(capsys, "--dtype", "fp16")["dtype"] == {
        "value": "float16",
        "why": "dtype is float16",
    }


@pytest.mark.parametrize(
    ("cores", "text", "why"),
    [
        (Cores(8, 8, None), "8 of 8", "no limit"),
        (Cores(8, 8, 1.5), "1.5 of 8", "the cgroup's limit is the time of 1.5"),
        (Cores(8, 2, 4.0), "2 of 8", "this process may not run on the others"),
    ],
)
def test_limits_of_the_cores_are_named(monkeypatch, cores, text, why):
    finding = doctor.about_cores(cores)
    assert (finding.text, finding.why) == (text, why)


def test_threads_are_those_that_an_engine_would_take(extension, monkeypatch):
    extension("avx2")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    free = doctor.about_threads("auto", Cores(8, 8, None))
    assert (free.text, free.why) == ("4", "from own threads, not pinned")
    limited = doctor.about_threads("auto", Cores(8, 8, 1.5))
    assert limited.text == "1" and limited.why.endswith("; torch alone would take 4")
    first = min(os.sched_getaffinity(0))
    assert f"on cores {first};" in doctor.about_threads(str(first), Cores(8, 8, None)).why


def test_memory_is_that_of_the_memory_plan(monkeypatch, capsys):
    facts = MemoryFacts(8 << 30, 3 << 30, "cgroup")
    monkeypatch.setattr("sglite.memory.read_memory_facts", lambda: facts)
    memory = findings(capsys)["memory"]
    assert memory["value"]["available_bytes"] == 3 << 30
    assert memory["why"] == "free now, bound by the cgroup"


GPU = GpuFacts("Some GPU", 80 << 30, (9, 0))
OLD = GpuFacts("Old GPU", 8 << 30, (6, 1))


@pytest.fixture
def machine(monkeypatch):
    """Puts these accelerators, and an NVIDIA driver, into the machine."""

    def install(*gpus, has_mps=False):
        facts = HardwareFacts(has_mps=has_mps, cuda=gpus, why_no_cuda="torch has no CUDA")
        monkeypatch.setattr("sglite.hardware.detect_hardware", lambda: facts)
        monkeypatch.setattr("sglite.cli.machine.nvidia_driver", lambda: "580.65.06")
        monkeypatch.setattr(torch.version, "cuda", "12.8")

    return install


def test_gpus_are_told_with_memory_capability_and_driver(machine, capsys):
    machine(GPU)
    found = findings(capsys)
    assert found["devices"] == {"value": ["cpu", "cuda:0"], "why": "cuda:0 is used"}
    assert found["gpus"]["value"]["gpus"] == [
        {"name": "Some GPU", "total_bytes": 80 << 30, "capability": [9, 0]}
    ]
    assert found["gpus"]["why"] == "driver 580.65.06, torch for CUDA 12.8"
    assert found["cpu_kernels"]["why"] == "device is cuda:0"
    finding = doctor.about_gpus(HardwareFacts(cuda=(GPU, OLD)))
    assert finding.text.startswith("Some GPU, 80.00 GiB, compute capability 9.0; Old GPU, 8.00")
    assert finding.why.endswith("; below 8.0 used only when asked for")


def test_a_driver_that_torch_does_not_use_is_told(machine, capsys):
    machine()
    found = findings(capsys)
    assert found["gpus"]["value"]["gpus"] == [] and found["devices"]["value"] == ["cpu"]
    assert found["gpus"]["why"] == "torch has no CUDA; there is a driver, 580.65.06"


def test_mps_is_listed_though_it_is_not_used(machine, capsys):
    machine(has_mps=True)
    assert findings(capsys)["devices"] == {"value": ["cpu", "mps"], "why": "cpu is used"}


def test_a_gpu_that_is_not_there_ends_with_2(machine, capsys):
    machine()
    assert main(["doctor", "--device", "cuda"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "'cuda' is not available on this machine" in error


def test_packages_for_gpus_are_looked_for_and_not_imported():
    here = {"triton", "flash_attn_interface"}
    finding = doctor.about_gpu_packages(lambda name: name if name in here else None)
    assert (finding.text, finding.why) == ("triton, flash-attention 3", "without flashinfer")
    assert finding.value == {"triton": True, "flashinfer": False, "flash-attention 3": True}
    assert doctor.about_gpu_packages(lambda name: None).text == "none"


def test_ranks_and_what_they_talk_through(monkeypatch):
    from sglite.distributed import shared_memory_group

    hardware = HardwareFacts(cuda=(GpuFacts("one", 1, (9, 0)), GpuFacts("two", 1, (9, 0))))
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    gpus = doctor.about_ranks(EngineConfig(device="cuda:0"), hardware)
    assert gpus.text == "up to 2" and gpus.value["gpus"] == 2
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    assert "without NCCL" in doctor.about_ranks(EngineConfig(device="cuda:0"), hardware).why
    for num_bytes, text in ((1, "several, over shared memory and gloo"), (0, "several, over gloo")):
        monkeypatch.setattr(shared_memory_group, "memory_bytes", lambda _, size=num_bytes: size)
        assert doctor.about_ranks(EngineConfig(device="cpu"), HardwareFacts()).text == text


def test_ray_is_looked_for_and_not_imported():
    assert doctor.about_ray(lambda name: name == "ray" or None).text == "installed"
    missing = doctor.about_ray(lambda name: None)
    assert missing.text == "not installed" and "sglite[ray]" in missing.why


@pytest.mark.parametrize("words", [["--cpu-kernels", "sse2"], ["--nothing"], ["extra"]])
def test_bad_arguments_end_with_2(capsys, words):
    assert main(["doctor", *words]) == 2
    assert words[0] in capsys.readouterr().err


def test_weight_cache_is_told_with_its_directory_and_size(capsys, tmp_path):
    (tmp_path / "a-int8-1.safetensors").write_bytes(b"x" * 1500)
    (tmp_path / ".unfinished-1.safetensors").write_bytes(b"x")
    found = findings(capsys, "--weight-cache", str(tmp_path))["weight_cache"]
    assert found["value"] == {"directory": str(tmp_path), "entries": 1, "bytes": 1500}
    assert "1.46 KiB" in found["why"]
    assert "1/10" not in found["why"]


def test_users_own_weight_cache_is_told_to_be_bounded(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = findings(capsys)["weight_cache"]
    assert found["value"]["directory"] == str(tmp_path / "sglite" / "weights")
    assert found["why"].startswith("0 models' packed weights, 0 B; at most 1/10")


def test_weight_cache_that_is_off_is_told_with_what_it_costs(capsys):
    found = findings(capsys, "--weight-cache", "off")["weight_cache"]
    assert found == {"value": None, "why": "weight_cache is off: every start packs the weights"}


@pytest.mark.parametrize(
    ("options", "installed", "text", "reason"),
    [
        ({}, {"triton", "torch"}, "triton, triton", "decode by triton: sglite's own kernels"),
        ({}, {"torch"}, "torch, torch", "prefill by torch: runs everywhere"),
        ({"attention_backend": "fa3"}, {"torch"}, "none", "fa3 is not installed"),
    ],
)
def test_attention_on_a_gpu_is_told_with_its_reason(options, installed, text, reason):
    hardware = HardwareFacts(cuda=(GPU,))
    config = resolve(EngineConfig(device="cuda", **options), hardware)
    finding = doctor.about_attention(config, hardware, frozenset(installed))
    assert finding.text == text
    assert reason in finding.why


def test_attention_is_no_choice_on_a_cpu():
    config = EngineConfig(device="cpu")
    assert doctor.about_attention(config, HardwareFacts()).text == "no choice"
