import json

import pytest

from sglite.cli import main
from sglite.make_model import make_model

SIZES = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 64,
    "vocab_size": 512,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(make_model(tmp_path_factory.mktemp("model"), dtype="float32", **SIZES))


def plan(model, capsys, *words):
    assert main(["plan", "--model", model, "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_pool_follows_from_concurrency_and_context(model, capsys):
    numbers = plan(model, capsys, "--concurrency", "3", "--context-length", "128")
    assert (numbers["num_tokens"], numbers["bound_by"]) == (3 * 128, "max_running_requests")
    assert numbers["kv_bytes_per_token"] == 2 * 2 * 2 * 16 * 4
    assert numbers["dtype"] == "float32"


def test_options_reach_the_plan(model, capsys):
    numbers = plan(
        model, capsys, "--max-total-tokens", "64", "--page-size", "32", "--dtype", "bfloat16"
    )
    assert (numbers["num_pages"], numbers["bound_by"]) == (2, "max_total_tokens")
    assert numbers["dtype"] == "bfloat16" and numbers["context_length"] == 256
    chunks = [
        plan(model, capsys, "--concurrency", "1", "--chunked-prefill-size", size)
        for size in ("4", "4096", "-1")
    ]
    small, large, unlimited = (each["activation_bytes"] for each in chunks)
    assert small < unlimited == large


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_a_gpu_that_is_not_here_can_be_planned_for(model, capsys, device):
    numbers = plan(model, capsys, "--device", device, "--device-memory", "1GiB")
    assert (numbers["total_bytes"], numbers["available_bytes"]) == (1 << 30, 1 << 30)
    assert (numbers["device"], numbers["page_size"], numbers["fraction"]) == ("cuda:0", 64, 0.9)
    assert numbers["graph_bytes"] > 0 and not numbers["is_measured"]
    without = plan(model, capsys, "--device-memory", "1GiB", "--disable-cuda-graph")
    assert without["graph_bytes"] == 0


def test_table_is_the_default(model, capsys):
    assert main(["plan", "--model", model]) == 0
    assert "KV pool" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--concurrency", "0"], "--concurrency: 0 is not allowed"),
        (["--context-length", "257"], "context_length is 257; the model in"),
        (["--max-total-tokens", str(10**12)], "needs"),
        (["--device", "cpu", "--device-memory", "8GiB"], "that of a GPU; device is 'cpu'"),
        (["--device-memory", "8 apples"], "'8 apples' is not an amount of memory"),
        (["--device-memory", "1MB"], "do not fit: 976.56 KiB of 976.56 KiB on cuda:0 are"),
    ],
)
def test_what_cannot_be_is_refused(model, capsys, words, message):
    assert main(["plan", "--model", model, *words]) == 2
    assert message in capsys.readouterr().err


def test_directory_without_a_model_is_refused(tmp_path, capsys):
    assert main(["plan", "--model", str(tmp_path)]) == 2
    assert "is empty" in capsys.readouterr().err
