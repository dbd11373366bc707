import json

import pytest
import torch
from safetensors.torch import save_file

from sglite.errors import ModelLoadError
from sglite.models.weights import INDEX_FILE, Checkpoint, contained_file


def save(directory, name, *tensors):
    directory.mkdir(parents=True, exist_ok=True)
    save_file({tensor: torch.ones(2) for tensor in tensors}, directory / name)


def write_index(directory, weight_map):
    (directory / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}))


def test_a_single_file_is_the_checkpoint(tmp_path):
    save(tmp_path, "model.safetensors", "b", "a")
    save(tmp_path, "other.safetensors", "c")
    assert sorted(Checkpoint(tmp_path).names) == ["a", "b"]


def test_an_index_says_which_shard_holds_what(tmp_path):
    save(tmp_path, "1.safetensors", "a", "ignored")
    save(tmp_path, "2.safetensors", "b")
    write_index(tmp_path, {"b": "2.safetensors", "a": "1.safetensors"})
    checkpoint = Checkpoint(tmp_path)
    assert checkpoint.names == ["a", "b"], "in the order of the files"
    assert checkpoint.path("b") == tmp_path / "2.safetensors"
    assert torch.equal(checkpoint.tensor("a"), torch.ones(2))


def test_files_without_an_index_are_read_together(tmp_path):
    save(tmp_path, "x.safetensors", "a")
    save(tmp_path, "y.safetensors", "b")
    assert Checkpoint(tmp_path).names == ["a", "b"]
    save(tmp_path, "z.safetensors", "a")
    with pytest.raises(ModelLoadError, match="both hold 'a'"):
        Checkpoint(tmp_path)


def test_only_other_formats_are_refused_by_name(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(ModelLoadError, match="has no weights"):
        Checkpoint(tmp_path)
    for name in ("pytorch_model.bin", "model.pt", "model.gguf"):
        (tmp_path / name).touch()
        with pytest.raises(ModelLoadError, match=name):
            Checkpoint(tmp_path)
        (tmp_path / name).unlink()


@pytest.mark.parametrize(
    ("weight_map", "cause"),
    [
        ({"a": "../../etc/passwd.safetensors"}, "points outside"),
        ({"a": "/etc/passwd.safetensors"}, "points outside"),
        ({"a": "/etc/passwd"}, "expected a .safetensors file"),
        ({"a": "sub/../../x.safetensors"}, "points outside"),
        ({"a": "x\0.safetensors"}, "points outside"),
        ({"a": "gone.safetensors"}, "does not exist"),
        ({"a": 3}, "is in 3"),
        ({"gone": "1.safetensors"}, "'gone' is not in 1.safetensors"),
        ({}, "weight_map is missing or empty"),
        (None, "weight_map is missing or empty"),
    ],
    ids=str,
)
def test_a_bad_index_is_refused(tmp_path, weight_map, cause):
    save(tmp_path, "1.safetensors", "a")
    write_index(tmp_path, weight_map)
    with pytest.raises(ModelLoadError, match=cause):
        Checkpoint(tmp_path)


def test_a_link_out_of_the_directory_is_refused(tmp_path):
    save(tmp_path / "elsewhere", "real.safetensors", "a")
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").symlink_to(tmp_path / "elsewhere" / "real.safetensors")
    with pytest.raises(ModelLoadError, match="link out of the directory"):
        Checkpoint(model)


def test_a_link_within_the_directory_is_followed(tmp_path):
    save(tmp_path, "real.data", "a")
    (tmp_path / "model.safetensors").symlink_to("real.data")
    assert Checkpoint(tmp_path).names == ["a"]


def test_a_hub_cache_snapshot_may_link_to_its_blobs_and_nowhere_else(tmp_path):
    root = tmp_path / "models--org--name"
    snapshot = root / "snapshots" / "abc123"
    snapshot.mkdir(parents=True)
    save(root / "blobs", "0f0f", "a")
    link = snapshot / "model.safetensors"
    link.symlink_to("../../blobs/0f0f")
    assert Checkpoint(snapshot).names == ["a"]
    link.unlink()
    save(tmp_path / "models--other--name" / "blobs", "1e1e", "a")
    link.symlink_to("../../../models--other--name/blobs/1e1e")
    with pytest.raises(ModelLoadError, match="link out of the directory"):
        Checkpoint(snapshot)


def test_a_model_directory_may_itself_be_a_link(tmp_path):
    save(tmp_path / "real", "model.safetensors", "a")
    (tmp_path / "alias").symlink_to("real")
    assert Checkpoint(tmp_path / "alias").names == ["a"]


def test_a_link_to_itself_and_a_folder_are_no_files(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelLoadError, match="loop"):
        contained_file(tmp_path, "loop")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelLoadError, match="is not a file"):
        contained_file(tmp_path, "folder")
