import errno
import json

import pytest

from sglite.cli import main

SMALL = ["--set", "hidden_size=64", "--set", "intermediate_size=64", "--set", "vocab_size=512"]


def test_checkpoint_is_written_and_its_directory_printed(tmp_path, capsys):
    out = tmp_path / "model"
    words = ["--architecture", "llama", "--set", "num_hidden_layers=1", "--seed", "3"]
    assert main(["make-model", "--out", str(out), *words, *SMALL]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    config = json.loads((out / "config.json").read_text())
    assert (config["model_type"], config["hidden_size"]) == ("llama", 64)
    assert (out / "model.safetensors").exists() and (out / "tokenizer.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--out DIR says where"),
        (["--out", "{dir}"], "is not empty; --force"),
        (["--out", "{dir}/file"], "is a file"),
        (["--out", "{dir}/new", "--seed", "x"], "--seed: 'x' is not allowed"),
        (["--out", "{dir}/new", "--set", "vocab_size"], "is not KEY=VALUE"),
        (["--out", "{dir}/new", "--set", "hidden_act=silu"], "is not JSON"),
        (["--out", "{dir}/new", "--set", "seed=1"], "seed has a flag of its own"),
        (["--out", "{dir}/new", "--architecture", "qwen4"], "did you mean 'qwen"),
        (["--out", "{dir}/new", "--preset", "huge"], "unknown preset"),
    ],
)
def test_bad_usage_writes_nothing(tmp_path, capsys, words, message):
    (tmp_path / "file").write_text("precious")
    assert main(["make-model", *(word.format(dir=tmp_path) for word in words)]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("out", ["/proc/x", "{dir}/file/x", "/dev/full/x"])
def test_place_that_cannot_be_written_is_named_with_the_cause(tmp_path, capsys, out):
    (tmp_path / "file").write_text("")
    path = out.format(dir=tmp_path)
    assert main(["make-model", "--out", path, *SMALL]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"sglite make-model: --out: {path}: ")


def test_full_disk_is_told_and_leaves_no_half_file(tmp_path, capsys, monkeypatch):
    def write(path, layout, tensors):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("sglite.make_model.checkpoint.write_safetensors", write)
    assert main(["make-model", "--out", str(tmp_path), *SMALL]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not any("safetensors" in path.name for path in tmp_path.iterdir())


def test_force_writes_beside_other_files(tmp_path):
    (tmp_path / "notes").write_text("kept")
    assert main(["make-model", "--out", str(tmp_path), "--force", *SMALL]) == 0
    assert (tmp_path / "notes").read_text() == "kept"
