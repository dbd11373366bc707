import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglite.errors import ModelLoadError
from sglite.models import safetensors_file
from sglite.models.safetensors_file import SafetensorsFile, write_safetensors

TENSORS = {
    "a": torch.arange(12, dtype=torch.float32).view(3, 4),
    "b": torch.arange(6, dtype=torch.bfloat16).view(2, 3),
    "c": torch.tensor(7.0, dtype=torch.float16),
    "d": torch.arange(5, dtype=torch.int64),
}


def write_raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def entry(start, end, *, shape=None, dtype="U8"):
    shape = [end - start] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def test_reads_what_the_library_wrote(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file(TENSORS, path, metadata={"format": "pt"})
    file = SafetensorsFile(path)
    assert set(file.entries) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(file.tensor(name), tensor)
        assert file.tensor(name).dtype == tensor.dtype


def test_the_library_reads_what_is_written(tmp_path):
    path = tmp_path / "m.safetensors"
    layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()}
    write_safetensors(path, layout, iter(TENSORS.values()))
    for name, tensor in load_file(path).items():
        assert torch.equal(tensor, TENSORS[name])


def test_an_unaligned_and_an_empty_tensor_are_read(tmp_path):
    values = torch.tensor([1.5, -2.5])
    header = {
        "odd": entry(0, 3),
        "none": entry(3, 3, shape=[0, 4], dtype="F32"),
        "floats": entry(3, 11, shape=[2], dtype="F32"),
    }
    data = b"abc" + values.numpy().tobytes()
    file = SafetensorsFile(write_raw(tmp_path / "m.safetensors", header, data))
    assert torch.equal(file.tensor("floats"), values)
    assert file.tensor("none").shape == (0, 4)


def test_a_released_tensor_can_be_read_again(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file(TENSORS, path)
    file = SafetensorsFile(path)
    assert torch.equal(file.tensor("a"), TENSORS["a"])
    file.release("a")
    assert torch.equal(file.tensor("a"), TENSORS["a"])


def test_the_file_is_never_written_to(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file(TENSORS, path)
    before = path.read_bytes()
    SafetensorsFile(path).tensor("a").zero_()
    assert path.read_bytes() == before


def test_a_file_cut_at_any_place_is_refused(tmp_path):
    whole = tmp_path / "whole.safetensors"
    save_file(TENSORS, whole)
    content = whole.read_bytes()
    for cut in range(50):
        path = tmp_path / "cut.safetensors"
        path.write_bytes(content[: len(content) * cut // 50])
        with pytest.raises(ModelLoadError, match=r"cut\.safetensors"):
            SafetensorsFile(path)


@pytest.mark.parametrize("length", [0, 1, 2**27, 2**63, 2**64 - 1])
def test_a_wrong_header_length_is_refused(tmp_path, length):
    path = tmp_path / "m.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelLoadError, match="header"):
        SafetensorsFile(path)


BAD_HEADERS = {
    "not an object": ([], "not a JSON object"),
    "not JSON": (b"{'a'}", "not valid JSON"),
    "not UTF-8": (b"\xff\xff", "not valid JSON"),
    "deep": (b"[" * 100_000, "not valid JSON"),
    "twice": (b'{"a":1,"a":2}', "a key occurs twice"),
    "no table": ({"a": 3}, "unknown dtype"),
    "unknown dtype": ({"a": entry(0, 4, dtype="Q4")}, "'a' has the unknown dtype 'Q4'"),
    "negative size": ({"a": entry(0, 4, shape=[-4])}, "bad shape"),
    "fractional size": ({"a": entry(0, 4, shape=[4.0])}, "bad shape"),
    "huge size": ({"a": entry(0, 4, shape=[2**62])}, "bad shape"),
    "huge product": ({"a": entry(0, 4, shape=[2**40, 2**40])}, "needs"),
    "wrong size": ({"a": entry(0, 4, shape=[2], dtype="F32")}, "needs 8 bytes"),
    "backwards": ({"a": entry(4, 0, shape=[4])}, "bad offsets"),
    "overlap": ({"a": entry(0, 3), "b": entry(2, 4)}, "'b' at byte .* overlaps"),
    "hole": ({"a": entry(0, 1), "b": entry(2, 4)}, "'b' at byte .* follows a hole"),
    "late start": ({"a": entry(1, 4)}, "follows a hole"),
    "beyond the end": ({"a": entry(0, 5)}, "cut off"),
    "left over": ({"a": entry(0, 3)}, "belong to no tensor"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_a_bad_header_is_refused_by_name(tmp_path, case):
    header, cause = BAD_HEADERS[case]
    path = write_raw(tmp_path / "m.safetensors", header, b"1234")
    with pytest.raises(ModelLoadError, match=cause) as caught:
        SafetensorsFile(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_metadata_is_no_tensor(tmp_path):
    header = {"__metadata__": {"format": "pt"}, "a": entry(0, 4)}
    file = SafetensorsFile(write_raw(tmp_path / "m.safetensors", header, b"1234"))
    assert list(file.entries) == ["a"]


def test_an_unreadable_file_is_refused(tmp_path):
    with pytest.raises(ModelLoadError, match="cannot be read: No such file"):
        SafetensorsFile(tmp_path / "gone.safetensors")


def test_metadata_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "m.safetensors"
    write_safetensors(path, {}, iter(()), metadata={"key": "a \u2713"})
    assert SafetensorsFile(path).metadata == {"key": "a \u2713"}
    write_raw(path, {"__metadata__": ["no", "object"]})
    assert SafetensorsFile(path).metadata == {}


def test_tensors_that_were_read_ahead_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "READ_AHEAD_BYTES", 4096)
    path = tmp_path / "m.safetensors"
    tensors = TENSORS | {"large": torch.randn(5000), "none": torch.empty(0)}
    save_file(tensors, path)
    file = SafetensorsFile(path)
    for name, tensor in tensors.items():
        file.read_ahead(name)
        assert torch.equal(file.tensor(name), tensor)


def test_first_tensor_begins_on_a_cache_line(tmp_path):
    path = tmp_path / "m.safetensors"
    for length in range(1, 70, 7):
        write_safetensors(path, {"x" * length: (torch.uint8, (3,))}, iter([torch.ones(3).byte()]))
        (found,) = SafetensorsFile(path).entries.values()
        assert found.start % 64 == 0
