"""What a later start reads is bit for bit what the first one packed, or it is packed again."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglite.distributed.layout import RankLayout
from sglite.kernels.cpu import instruction_sets
from sglite.make_model import make_model
from sglite.models import loader
from sglite.models.hf_config import HFConfig
from sglite.models.layers.parallel import ModelShare
from sglite.models.loader import load_model
from sglite.models.packed_file import PackKey
from sglite.models.packed_weights import PackedWeights
from sglite.models.quantization import Quantization
from sglite.models.registry import spec_from_hf
from sglite.models.weight_cache import WeightCache
from sglite.models.weights import Checkpoint
from tests.kernels.cpu.kernels import extension

_cpu = extension()

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
}
KINDS = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantization": Quantization.of("int8", 32)},
    "int4-32": {"quantization": Quantization.of("int4", 32)},
    "int4-64": {"quantization": Quantization.of("int4", 64)},
}


@pytest.fixture
def model(tmp_path) -> Path:
    directory = tmp_path / "model"
    make_model(directory, dtype="float32", with_tokenizer=False, architecture="qwen2", **SIZES)
    return directory


@pytest.fixture
def cache(tmp_path) -> WeightCache:
    return WeightCache(tmp_path / "cache")


def load(model: Path, cache: WeightCache | None, **options) -> dict[str, torch.Tensor]:
    options = {"instruction_set": instruction_sets()[0], **options}
    loaded = load_model(model, weight_cache=cache, show_progress=False, **options)
    return loaded.model.weights.tensors()


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name].view(torch.uint8), tensor.view(torch.uint8)), name


def is_packed(monkeypatch, call) -> bool:
    """Whether ``call`` reads the checkpoint's tensors."""
    filled = []
    fill = loader._fill_from
    with monkeypatch.context() as patch:
        patch.setattr(loader, "_fill_from", lambda *a, **k: (filled.append(1), fill(*a, **k)))
        call()
    return bool(filled)


def warnings_of(caplog) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", KINDS)
def test_second_start_reads_what_the_first_one_packed(model, cache, monkeypatch, caplog, kind):
    expected = load(model, None, **KINDS[kind])
    assert is_packed(monkeypatch, lambda: assert_same(load(model, cache, **KINDS[kind]), expected))
    (entry,) = cache.entries()
    assert entry.name.startswith(f"model-{kind}-")
    second = {}
    assert not is_packed(monkeypatch, lambda: second.update(load(model, cache, **KINDS[kind])))
    assert_same(second, expected)
    assert not warnings_of(caplog)


@pytest.mark.parametrize("kind", ["bfloat16", "int4-32"])
def test_model_from_the_cache_computes_the_same(model, cache, kind):
    hidden = torch.randn(3, SIZES["hidden_size"])
    results = []
    for _ in range(2):
        options = {"instruction_set": instruction_sets()[0], **KINDS[kind]}
        loaded = load_model(model, weight_cache=cache, show_progress=False, **options)
        results.append(loaded.model.compute_logits(hidden).clone())
    assert torch.equal(*results)
    assert loaded.num_bytes == loaded.model.weights.num_bytes > 0


def test_kinds_of_one_model_lie_side_by_side(model, cache, monkeypatch):
    for options in KINDS.values():
        load(model, cache, **options)
    assert len(cache.entries()) == len(KINDS)
    for options in KINDS.values():
        assert not is_packed(monkeypatch, lambda options=options: load(model, cache, **options))


def test_first_start_gives_up_its_own_memory_for_the_files(model, cache):
    tensors = load(model, cache)
    address = tensors["matrices/embed_tokens"].data_ptr()
    with open("/proc/self/maps") as maps:
        spans = [line.split() for line in maps if str(cache.directory) in line]
    ends = [[int(end, 16) for end in span[0].split("-")] for span in spans]
    assert any(start <= address < end for start, end in ends)


def test_matrices_begin_on_cache_lines(model, cache):
    load(model, cache, **KINDS["int8"])
    tensors = load(model, cache, **KINDS["int8"])
    matrices = {name: each for name, each in tensors.items() if name.startswith("matrices/")}
    assert len(matrices) == 9
    assert {each.data_ptr() % 64 for each in matrices.values()} == {0}


def change_weights(model: Path) -> None:
    path = model / "model.safetensors"
    tensors = {name: tensor.clone() + 1 for name, tensor in load_file(path).items()}
    save_file(tensors, path)


def test_another_checkpoint_at_the_same_place_replaces_the_entry(model, cache, monkeypatch, caplog):
    load(model, cache)
    (entry,) = cache.entries()
    change_weights(model)
    expected = load(model, None)
    assert is_packed(monkeypatch, lambda: assert_same(load(model, cache), expected))
    assert cache.entries() == [entry]
    assert not is_packed(monkeypatch, lambda: assert_same(load(model, cache), expected))
    assert not warnings_of(caplog)


def test_changed_content_is_seen_where_size_and_time_are_kept(model, cache, monkeypatch):
    path = model / "model.safetensors"
    before = path.stat()
    load(model, cache)
    data = bytearray(path.read_bytes())
    header_bytes = int.from_bytes(data[:8], "little")
    data[8 + header_bytes :: 2] = bytes(len(data[8 + header_bytes :: 2]))
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_packed(monkeypatch, lambda: load(model, cache))


def test_changed_time_alone_is_seen(model, cache, monkeypatch):
    load(model, cache)
    os.utime(model / "model.safetensors", (1, 1))
    assert is_packed(monkeypatch, lambda: load(model, cache))


def test_integers_of_another_instruction_set_are_made_anew(model, cache, monkeypatch):
    first, *_, last = instruction_sets()
    if first == last:
        pytest.skip("one instruction set only")
    for kind, differs in (("int8", True), ("bfloat16", False)):
        load(model, cache, instruction_set=first, **KINDS[kind])
        other = {"instruction_set": last, **KINDS[kind]}
        assert is_packed(monkeypatch, lambda other=other: load(model, cache, **other)) == differs


def cut(data: bytearray) -> None:
    del data[-100:]


def cut_to_a_header(data: bytearray) -> None:
    del data[4:]


def empty(data: bytearray) -> None:
    data.clear()


def flip_in_a_matrix(data: bytearray) -> None:
    data[len(data) // 2] ^= 1


def flip_in_the_last_norm(data: bytearray) -> None:
    data[-1] ^= 64


def lose_a_block(data: bytearray) -> None:
    data[8192:12288] = bytes(4096)


def rename_a_tensor(data: bytearray) -> None:
    data[:] = data.replace(b"norms/norm", b"norms/nose")


def spoil_the_sums(data: bytearray) -> None:
    data[:] = data.replace(b'"sums":"{', b'"sums":"[')


def other_format(data: bytearray) -> None:
    data[:] = data.replace(b"sglite packed", b"theirs packed")


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        cut_to_a_header,
        empty,
        flip_in_a_matrix,
        flip_in_the_last_norm,
        lose_a_block,
        rename_a_tensor,
        spoil_the_sums,
        other_format,
    ],
)
def test_damaged_file_is_one_warning_and_written_again(model, cache, monkeypatch, caplog, damage):
    expected = load(model, cache)
    expected = {name: tensor.clone() for name, tensor in expected.items()}
    (entry,) = cache.entries()
    data = bytearray(entry.read_bytes())
    before = bytes(data)
    damage(data)
    assert data != before
    entry.unlink()  # what maps the old one keeps it
    entry.write_bytes(data)
    assert is_packed(monkeypatch, lambda: assert_same(load(model, cache), expected))
    assert warnings_of(caplog) == ["cached_weights_unusable"]
    assert str(entry) in caplog.records[-1].fields["file"]
    assert entry.read_bytes() == before
    assert not is_packed(monkeypatch, lambda: assert_same(load(model, cache), expected))


def test_foreign_safetensors_file_is_one_warning_and_replaced(model, cache, monkeypatch, caplog):
    load(model, cache)
    (entry,) = cache.entries()
    entry.unlink()
    save_file({"x": torch.ones(3)}, entry)
    assert is_packed(monkeypatch, lambda: load(model, cache))
    assert warnings_of(caplog) == ["cached_weights_unusable"]
    assert not is_packed(monkeypatch, lambda: load(model, cache))


def test_full_disk_costs_a_warning_and_nothing_else(model, cache, monkeypatch, caplog):
    def full(path, *_, **__):
        path.write_bytes(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sglite.models.packed_file.write_safetensors", full)
    assert_same(load(model, cache), load(model, None))
    assert warnings_of(caplog) == ["weights_not_cached"]
    assert list(cache.directory.iterdir()) == []


def test_cache_that_is_a_file_costs_a_warning_and_nothing_else(model, tmp_path, caplog):
    (tmp_path / "cache").write_bytes(b"")
    assert_same(load(model, WeightCache(tmp_path / "cache")), load(model, None))
    assert warnings_of(caplog) == ["weights_not_cached"]


def test_entry_that_cannot_be_read_costs_a_warning(model, cache, monkeypatch, caplog):
    load(model, cache)
    (entry,) = cache.entries()
    opened = Path.open
    refused = []

    def refuse(path, *args, **options):
        if path == entry and not refused:
            refused.append(path)
            raise PermissionError(13, "Permission denied")
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert is_packed(monkeypatch, lambda: load(model, cache))
    assert warnings_of(caplog) == ["cached_weights_unusable"]


def test_torch_and_dummy_weights_leave_the_cache_alone(model, cache):
    load_model(model, weight_cache=cache, dtype="float32", show_progress=False)
    load(model, cache, load_format="dummy")
    assert not cache.directory.exists()


TWO_STARTS = """
import sys
from pathlib import Path
from sglite.kernels.cpu import instruction_sets
from sglite.models.loader import load_model
from sglite.models.weight_cache import WeightCache
import hashlib
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    loaded = load_model(sys.argv[1], weight_cache=WeightCache(Path(sys.argv[2])),
                        instruction_set=instruction_sets()[0], show_progress=False)
    digest = hashlib.sha256()
    for name, tensor in loaded.model.weights.tensors().items():
        digest.update(name.encode() + tensor.view(-1).view(__import__("torch").uint8).numpy().data)
    print(digest.hexdigest(), flush=True)
    for entry in Path(sys.argv[2]).glob("*.safetensors"):
        entry.unlink(missing_ok=True)
"""


def test_two_processes_that_write_and_read_at_once_get_the_same_weights(model, cache):
    command = [sys.executable, "-c", TWO_STARTS, str(model), str(cache.directory)]
    started = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for each in started:
        assert each.stdout.readline() == "ready\n"
    for each in started:
        each.stdin.write("go\n")
        each.stdin.flush()
    told = [each.communicate(timeout=120) for each in started]
    assert [each.returncode for each in started] == [0, 0], told
    digests = [line for out, _ in told for line in out.split()]
    assert len(digests) == 20
    assert len(set(digests)) == 1
    assert "Warning" not in "".join(err for _, err in told)
    assert not list(cache.directory.glob(".unfinished-*"))


def key_of(directory: Path, share: ModelShare | None = None) -> PackKey:
    spec = spec_from_hf(HFConfig.from_directory(directory))
    weights = PackedWeights(spec, dtype=torch.float32, extension=_cpu, num_threads=1, share=share)
    return PackKey.of(Checkpoint(directory), weights)


def test_shares_of_one_model_lie_side_by_side(model):
    layout = RankLayout(tp_size=2, pp_size=2)
    num_layers = spec_from_hf(HFConfig.from_directory(model)).num_layers
    shares = [None, *(ModelShare.of(layout, rank, num_layers) for rank in range(4))]
    keys = [key_of(model, share) for share in shares]
    assert len({key.name for key in keys}) == len({key.text for key in keys}) == 5
    assert key_of(model, shares[2]) == keys[2]


def test_revisions_of_a_hub_model_are_one_place(model, tmp_path):
    keys = []
    for revision in ("aaa", "bbb"):
        place = tmp_path / "models--who--what" / "snapshots" / revision
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir()
        for file in model.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        keys.append(key_of(place))
    assert keys[0].name == keys[1].name
    assert keys[0].name.startswith("models--who--what-float32-")
    assert keys[0].text != keys[1].text


def test_name_is_fit_for_a_file_whatever_the_model_is_called(model, tmp_path):
    other = model.rename(tmp_path / ".. Modèle: 0,6 b")
    name = key_of(other).name
    assert name.isascii() and not name.startswith(".") and " " not in name


def test_key_is_json_that_a_person_can_read(model):
    parts = json.loads(key_of(model).text)
    ((name, size, _, _),) = parts["files"]
    assert name == "model.safetensors"
    assert size == (model / "model.safetensors").stat().st_size
    assert parts["pack"] == "float32" and parts["instruction_set"] is None
