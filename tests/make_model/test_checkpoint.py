import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from sglite.errors import ConfigError
from sglite.make_model import make_model
from sglite.make_model.checkpoint import split_names
from sglite.models.loader import load_model

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
}
ARCHITECTURES = ["llama", "qwen2", "qwen3", "mistral"]
NUM_NEW_TOKENS = 64
MIN_DISTINCT_TOKENS = 16


def load_in_transformers(directory):
    model, info = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    return model.eval()


@torch.inference_mode()
def greedy(model, prompts_RT):
    """``[R, NUM_NEW_TOKENS]``: what transformers continues each prompt with."""
    past, inputs, chosen = None, prompts_RT, []
    for _ in range(NUM_NEW_TOKENS):
        output = model(inputs, past_key_values=past, use_cache=True)
        past, inputs = output.past_key_values, output.logits[:, -1:].argmax(-1)
        chosen.append(inputs)
    return torch.cat(chosen, dim=1)


# The seeds differ, so that no row is a lucky one.
VARIED = [
    ("llama", "tiny", True, 1),
    ("qwen2", "tiny", False, 2),
    ("qwen2", "tiny", True, 3),
    ("qwen3", "tiny", True, 4),
    ("qwen3", "small", False, 5),
    ("mistral", "tiny", False, 6),
    ("llama", "small", False, 7),
    ("qwen2", "small", True, 8),
]


@pytest.fixture(autouse=True)
def one_thread():
    """Products this small are slower with more, above all beside other processes."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize(("architecture", "preset", "tied", "seed"), VARIED)
def test_greedy_output_is_varied(tmp_path, architecture, preset, tied, seed):
    settings = {"with_tokenizer": False, "tie_word_embeddings": tied}
    make_model(tmp_path, architecture=architecture, preset=preset, seed=seed, **settings)
    generator = torch.Generator().manual_seed(seed)
    prompts_RT = torch.randint(0, 4096, (4, 6), generator=generator)
    prompts_RT[0] = prompts_RT[0, 0]  # one prompt repeats a single token
    output = greedy(load_in_transformers(tmp_path), prompts_RT)
    distinct = [len(row.unique()) for row in output]
    assert min(distinct) >= MIN_DISTINCT_TOKENS, distinct


def test_texts_do_not_end_by_themselves(tmp_path):
    """The rows of the special tokens are quiet, so greedy output has the length asked for."""
    make_model(tmp_path, vocab_size=260, tie_word_embeddings=False)
    model = load_in_transformers(tmp_path)
    output = greedy(model, torch.arange(64).view(16, 4))
    assert not set(model.generation_config.eos_token_id) & set(output.flatten().tolist())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "settings",
    [
        {"num_shards": 3, "tie_word_embeddings": False},
        {"rope_scaling": "llama3"},
        {"rope_scaling": "yarn", "dtype": "float16"},
    ],
    ids=["shards", "llama3", "yarn"],
)
def test_transformers_and_sglite_load_it(tmp_path, architecture, settings):
    make_model(tmp_path, architecture=architecture, **SIZES, **settings)
    model = load_in_transformers(tmp_path)
    loaded = load_model(tmp_path, dtype="float32")
    assert loaded.spec.num_parameters == sum(p.numel() for p in model.parameters())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert max(tokenizer("Hello, world").input_ids) < 300
    assert loaded.generation_defaults.eos_token_ids[0] == tokenizer.eos_token_id


def test_biases_are_written_where_they_are_asked_for(tmp_path):
    make_model(tmp_path, architecture="llama", attention_bias=True, mlp_bias=True, **SIZES)
    names = load_file(tmp_path / "model.safetensors")
    assert "model.layers.1.self_attn.o_proj.bias" in names
    assert "model.layers.1.mlp.down_proj.bias" in names
    load_in_transformers(tmp_path)
    load_model(tmp_path)


def test_the_same_arguments_write_the_same_bytes(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_model(tmp_path / name, seed=seed, with_tokenizer=False, **SIZES)
    content = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in "abc"}
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_shards_hold_what_one_file_would(tmp_path):
    make_model(tmp_path / "one", with_tokenizer=False, **SIZES)
    make_model(tmp_path / "many", num_shards=4, with_tokenizer=False, **SIZES)
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    whole = load_file(tmp_path / "one" / "model.safetensors")
    assert set(index["weight_map"]) == set(whole)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in whole.values())
    for file_name in set(index["weight_map"].values()):
        for name, tensor in load_file(tmp_path / "many" / file_name).items():
            assert torch.equal(tensor, whole[name])


@pytest.mark.parametrize("num_shards", [1, 2, 3, 6, 7])
def test_names_are_split_in_order_and_evenly(num_shards):
    shapes = {name: (size,) for name, size in zip("abcdefg", (9, 1, 1, 1, 1, 1, 9), strict=True)}
    parts = split_names(shapes, num_shards)
    assert [name for part in parts for name in part] == list(shapes)
    assert len(parts) == num_shards
    assert all(parts)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"num_attention_heads": 3}, "multiple of num_key_value_heads"),
        ({"hidden_size": -1}, "hidden_size is -1"),
        ({"num_shards": 0}, "num_shards is 0"),
        ({"vocab_size": 100}, "vocab_size 100"),
    ],
    ids=str,
)
def test_an_impossible_model_is_refused_before_anything_is_written(tmp_path, settings, cause):
    with pytest.raises(ConfigError, match=cause):
        make_model(tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()
