import pytest

from sglite.errors import ConfigError
from sglite.make_model.checkpoint import weight_shapes
from sglite.make_model.presets import SIZES, preset_config, rope_settings

# Parameters as the models' makers state them, in millions.
PUBLISHED = {
    ("qwen3", "0.6b"): 596,
    ("qwen3", "1.7b"): 1721,
    ("qwen3", "4b"): 4022,
    ("qwen3", "8b"): 8191,
    ("qwen3", "14b"): 14768,
    ("qwen3", "32b"): 32762,
    ("qwen2", "0.5b"): 494,
    ("qwen2", "1.5b"): 1544,
    ("qwen2", "7b"): 7616,
    ("llama", "1b"): 1236,
    ("llama", "8b"): 8030,
    ("mistral", "7b"): 7242,
}


def num_parameters(config):
    total = 0
    for shape in weight_shapes(config).values():
        size = 1
        for extent in shape:
            size *= extent
        total += size
    return total


@pytest.mark.parametrize("model", SIZES, ids=str)
def test_a_real_size_has_the_published_number_of_parameters(model):
    millions = num_parameters(preset_config(*model, {})) / 1e6
    assert millions == pytest.approx(PUBLISHED[model], abs=1)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral"])
def test_every_family_has_the_small_presets(architecture):
    assert num_parameters(preset_config(architecture, "tiny", {})) < 6e6
    assert num_parameters(preset_config(architecture, "small", {})) < 40e6


def test_overrides_replace_and_add():
    config = preset_config("mistral", "tiny", {"hidden_size": 128, "sliding_window": 64})
    assert (config["hidden_size"], config["sliding_window"]) == (128, 64)
    assert preset_config("llama", "tiny", {"tie_word_embeddings": False})["hidden_size"] == 256


def test_a_rope_scaling_is_a_type_or_a_table():
    assert rope_settings("linear", 4096) == {"rope_type": "linear", "factor": 4.0}
    assert rope_settings("yarn", 4096)["original_max_position_embeddings"] == 1024
    assert rope_settings("llama3", 4096)["original_max_position_embeddings"] == 512
    table = {"rope_type": "linear", "factor": 2.0}
    assert preset_config("llama", "tiny", {}, table)["rope_scaling"] == table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("qwen", "tiny", {}), "unknown architecture 'qwen'; did you mean 'qwen3'"),
        (("llama", "0.6b", {}), "unknown preset for llama '0.6b'"),
        (("llama", "tiny", {"hiden_size": 3}), "did you mean 'hidden_size'"),
        (("llama", "tiny", {}, "llama4"), "did you mean 'llama3'"),
    ],
    ids=str,
)
def test_what_is_unknown_is_named_with_the_nearest(arguments, message):
    with pytest.raises(ConfigError, match=message):
        preset_config(*arguments)
