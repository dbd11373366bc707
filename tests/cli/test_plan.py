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


def test_all_ranks_and_engines_of_the_machine_are_added_up(model, capsys):
    words = ("--concurrency", "2", "--page-size", "16")
    alone = plan(model, capsys, *words)
    assert alone["bytes_per_machine"] == [
        sum(alone["stages"][0][f"{what}_bytes"] for what in ("weights", "activation", "kv"))
    ]
    found = plan(model, capsys, *words, "--tp", "2", "--pp", "2", "--dp", "2")
    assert [stage["ranks"] for stage in found["stages"]] == [[0, 1], [2, 3]]
    assert found["num_engines"] == 2
    kv_bytes = [stage["kv_bytes"] for stage in found["stages"]]
    assert kv_bytes == [alone["stages"][0]["kv_bytes"] // 4] * 2
    of_stages = [
        sum(stage[f"{what}_bytes"] for what in ("weights", "activation", "kv"))
        for stage in found["stages"]
    ]
    assert found["bytes_per_machine"] == [4 * sum(of_stages)]
    two = plan(model, capsys, *words, "--tp", "2", "--pp", "2", "--nnodes", "2",
               "--dist-init-addr", "10.0.0.1:9", "--dist-key-file", "key")  # fmt: skip
    assert two["bytes_per_machine"] == [2 * each for each in of_stages]


def test_the_table_of_several_ranks_ends_with_the_machine(model, capsys):
    assert main(["plan", "--model", model, "--tp", "2", "--dp", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("stage 0, each of ranks 0-1")
    assert lines[-1].startswith("machine 0, 2 engines")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--concurrency", "0"], "--concurrency: 0 is not allowed"),
        (["--context-length", "257"], "context_length is 257; the model in"),
        (["--max-total-tokens", str(10**12)], "needs"),
        (["--device", "cpu", "--device-memory", "8GiB"], "that of a GPU; device is 'cpu'"),
        (["--device-memory", "8 apples"], "'8 apples' is not an amount of memory"),
        (["--tp", "3"], "tp_size 3 is not a multiple of num_key_value_heads (2)"),
        (["--pp", "3"], "pp_size 3 is more than the model's 2 layers"),
        (["--device-memory", "1MB"], "do not fit: 976.56 KiB of 976.56 KiB on cuda:0 are"),
    ],
)
def test_what_cannot_be_is_refused(model, capsys, words, message):
    assert main(["plan", "--model", model, *words]) == 2
    assert message in capsys.readouterr().err


def test_directory_without_a_model_is_refused(tmp_path, capsys):
    assert main(["plan", "--model", str(tmp_path)]) == 2
    assert "is empty" in capsys.readouterr().err
