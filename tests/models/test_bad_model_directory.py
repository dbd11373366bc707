"""What a bad model directory leads to: one line that names the file and the cause, nothing loaded.

Every case starts from a good directory and breaks one thing. The parameters are never allocated,
but for the cases that only the weights' values show.
"""

import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglite.errors import ModelLoadError
from sglite.make_model import make_model
from sglite.models import loader
from sglite.models.loader import load_model

HUGE_HEADER = (2**63).to_bytes(8, "little")


@pytest.fixture(scope="module")
def good_directory(tmp_path_factory):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "head_dim": 8}
    directory = tmp_path_factory.mktemp("good")
    return make_model(directory, num_shards=1, vocab_size=64, with_tokenizer=False, **sizes)


@pytest.fixture
def directory(good_directory, tmp_path):
    return shutil.copytree(good_directory, tmp_path / "model")


def assert_refused(directory, cause, *, names="", allocates=False, monkeypatch=None):
    if not allocates and monkeypatch is not None:
        monkeypatch.setattr(loader, "Decoder", lambda *a, **k: pytest.fail("allocated"))
    with pytest.raises(ModelLoadError) as caught:
        load_model(directory, dtype="float32")
    message = str(caught.value)
    assert cause in message
    assert names in message
    assert str(directory) in message
    assert "\n" not in message


def remove_all(directory):
    shutil.rmtree(directory)


def become_a_file(directory):
    shutil.rmtree(directory)
    directory.write_text("not a directory")


def become_empty(directory):
    shutil.rmtree(directory)
    directory.mkdir()


def without_config(directory):
    (directory / "config.json").unlink()


def without_weights(directory):
    (directory / "model.safetensors").unlink()


def with_pickle_only(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def with_passwd_link(directory):
    without_weights(directory)
    (directory / "model.safetensors").symlink_to("/etc/passwd")


def with_index_to(target):
    def change(directory):
        without_weights(directory)
        index = {"weight_map": {"model.norm.weight": target}}
        (directory / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def with_weights_folder(directory):
    without_weights(directory)
    (directory / "model.safetensors").mkdir()


def with_bytes(content):
    return lambda directory: (directory / "model.safetensors").write_bytes(content)


def with_config(**changes):
    def change(directory):
        path = directory / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def with_config_text(text):
    return lambda directory: (directory / "config.json").write_text(text)


def overlapping(directory):
    """The second tensor starts one element early, in a header of the same length."""
    path = directory / "model.safetensors"
    content = path.read_bytes()
    end = int.from_bytes(content[:8], "little") + 8
    header = json.loads(content[8:end])
    first, second = [name for name in header if name != "__metadata__"][:2]
    start = header[first]["data_offsets"][1]
    assert header[second]["data_offsets"][0] == start
    header[second]["data_offsets"] = [start - 2, header[second]["data_offsets"][1] - 2]
    text = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    path.write_bytes(content[:8] + text + content[end:])


CASES = {
    "no directory": (remove_all, "does not exist", ""),
    "a file": (become_a_file, "is a file", ""),
    "empty": (become_empty, "is empty", ""),
    "no config": (without_config, "does not exist", "config.json"),
    "config is no JSON": (with_config_text("<html>"), "not valid JSON", "config.json"),
    "config is a list": (with_config_text("[]"), "expected a JSON object", "config.json"),
    "config is deep": (with_config_text("[" * 10**5), "not valid JSON", "config.json"),
    "huge integer": (with_config(hidden_size=10**400), "hidden_size is", "config.json"),
    "negative heads": (with_config(num_attention_heads=-8), "heads is -8", "config.json"),
    "heads not divisible": (with_config(num_key_value_heads=3), "multiple of", "config.json"),
    "unknown architecture": (
        with_config(architectures=["MambaForCausalLM"]),
        "'MambaForCausalLM' is not supported",
        "config.json",
    ),
    "no architecture": (with_config(architectures=None), "'architectures'", "config.json"),
    "unknown rope": (
        with_config(rope_scaling={"rope_type": "spiral", "factor": 2.0}),
        "spiral",
        "config.json",
    ),
    "auto_map": (with_config(auto_map={"AutoModel": "m.M"}), "auto_map", "config.json"),
    "bad generation config": (
        lambda directory: (directory / "generation_config.json").write_text("{"),
        "not valid JSON",
        "generation_config.json",
    ),
    "no weights": (without_weights, "has no weights", ""),
    "only .bin": (with_pickle_only, "other formats can run code", "pytorch_model.bin"),
    "weights are a folder": (with_weights_folder, "not a file", "model.safetensors"),
    "weights are text": (with_bytes(b"hello, world"), "no safetensors", "model.safetensors"),
    "header of 2^63 bytes": (with_bytes(HUGE_HEADER + b"{}"), "header", "model.safetensors"),
    "overlapping offsets": (overlapping, "overlaps", "model.safetensors"),
    "link outside": (with_passwd_link, "link out of the directory", "model.safetensors"),
    "index with ..": (with_index_to("../../etc/passwd"), "../../etc/passwd", "index.json"),
    "index with .. to weights": (with_index_to("../x.safetensors"), "outside", "x.safetensors"),
    "index with a path": (with_index_to("/etc/x.safetensors"), "outside", "/etc/x.safetensors"),
}


@pytest.mark.parametrize("case", CASES)
def test_is_refused_in_one_line_before_anything_is_allocated(directory, case, monkeypatch):
    change, cause, names = CASES[case]
    change(directory)
    assert_refused(directory, cause, names=names, monkeypatch=monkeypatch)


def test_the_good_directory_is_loaded(directory):
    assert load_model(directory).num_bytes > 0


def test_weights_cut_at_50_places_are_refused(directory, monkeypatch):
    path = directory / "model.safetensors"
    content = path.read_bytes()
    for cut in range(50):
        path.write_bytes(content[: len(content) * cut // 50])
        assert_refused(directory, "", names="model.safetensors", monkeypatch=monkeypatch)


TENSOR = "model.layers.0.mlp.up_proj.weight"
TENSOR_CASES = {
    "missing": (lambda tensor: None, "missing", False),
    "wrong shape": (lambda tensor: tensor.T.contiguous(), "has shape", False),
    "wrong type": (lambda tensor: tensor.to(torch.int32), "has type int32", False),
    "NaN": (lambda tensor: tensor * float("nan"), "holds NaN", True),
}


@pytest.mark.parametrize("case", TENSOR_CASES)
def test_a_bad_tensor_is_named(directory, case, monkeypatch):
    change, cause, allocates = TENSOR_CASES[case]
    path = directory / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    tensors[TENSOR] = change(tensors[TENSOR])
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    assert_refused(directory, cause, names=TENSOR, allocates=allocates, monkeypatch=monkeypatch)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_an_unreadable_file_is_refused(directory, name, monkeypatch):
    (directory / name).chmod(0)
    if os.access(directory / name, os.R_OK):
        pytest.skip("this user can read everything")
    assert_refused(directory, "cannot be read", names=name, monkeypatch=monkeypatch)


def test_an_unreadable_directory_is_refused(directory, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", denied)
    assert_refused(directory, "cannot be read: Permission denied", monkeypatch=monkeypatch)
