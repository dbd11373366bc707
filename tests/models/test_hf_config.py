import json
import os

import pytest

from sglite.errors import ModelLoadError
from sglite.models.hf_config import MAX_JSON_BYTES, HFConfig, read_json_object


def config(**values):
    return HFConfig.from_dict(values)


def test_rope_of_version_4_and_5_are_one():
    scaling = {"factor": 8.0, "low_freq_factor": 1.0}
    expected = {"rope_type": "llama3", "rope_theta": 5e5, **scaling}
    for written in (
        {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **scaling}},
        {"rope_theta": 500000, "rope_scaling": {"type": "llama3", **scaling}},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **scaling}},
    ):
        assert config(**written).rope_parameters() == expected


def test_rope_is_plain_where_nothing_is_said():
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    assert config().rope_parameters() == plain
    assert config(rope_scaling=None, rope_parameters=None).rope_parameters() == plain


@pytest.mark.parametrize(
    "written",
    [
        {"rope_scaling": [1]},
        {"rope_scaling": {"rope_type": 3}},
        {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}},
        {"rope_parameters": {"rope_theta": "many"}},
        {"rope_parameters": {"rope_theta": 0}},
    ],
    ids=str,
)
def test_a_rope_table_that_is_no_table_is_refused(written):
    with pytest.raises(ModelLoadError, match="rope"):
        config(**written).rope_parameters()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"num_attention_heads": -4}, "num_attention_heads is -4"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"hidden_size": 10**60}, "hidden_size is an integer of 200 bits"),
        ({"vocab_size": 2**40}, "vocab_size is 1099511627776"),
        ({"vocab_size": "32000"}, "vocab_size is '32000'"),
        ({"vocab_size": True}, "vocab_size is True"),
        ({"hidden_size": 4096.0}, "hidden_size is 4096.0"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan"),
        ({"rope_theta": float("inf")}, "rope_theta is inf"),
        ({"num_attention_heads": 6, "num_key_value_heads": 4}, "a multiple of num_key_value_heads"),
        ({"num_attention_heads": 6, "hidden_size": 100}, "hidden_size is 100"),
        ({"num_attention_heads": 4, "hidden_size": 64, "head_dim": 15}, "head_dim is 15"),
        ({"auto_map": {"AutoModel": "modeling.Evil"}}, "auto_map"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_impossible_value_is_named(values, named):
    with pytest.raises(ModelLoadError) as caught:
        config(**values)
    assert named in str(caught.value)
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_require_names_a_missing_and_a_mistyped_key():
    settings = config(act="silu", eps=1)
    assert settings.require("act", str) == "silu"
    assert settings.require("eps", float) == 1.0
    with pytest.raises(ModelLoadError, match=r"key 'gone' .* is missing"):
        settings.require("gone", int)
    with pytest.raises(ModelLoadError, match="act is 'silu', expected an int"):
        settings.require("act", int)


def test_get_takes_null_as_absent_and_checks_the_type():
    settings = config(window=None, bias="yes")
    assert settings.get("window", 7) == 7
    assert settings.get("gone", None) is None
    with pytest.raises(ModelLoadError, match="bias is 'yes', expected a bool"):
        settings.get("bias", False)


def test_architecture_is_the_single_name():
    assert config(architectures=["Qwen3ForCausalLM"]).architecture == "Qwen3ForCausalLM"
    for bad in ([], ["A", "B"], [3]):
        with pytest.raises(ModelLoadError, match="a list with one name"):
            _ = config(architectures=bad).architecture


def test_dtype_has_two_spellings_and_three_values():
    assert config(torch_dtype="bfloat16").dtype == "bfloat16"
    assert config(dtype="torch.float16", torch_dtype="float32").dtype == "float16"
    assert config().dtype is None
    with pytest.raises(ModelLoadError, match="torch_dtype is 'int8'"):
        _ = config(torch_dtype="int8").dtype


def test_eos_is_one_id_or_several():
    assert config(eos_token_id=3).eos_token_ids == (3,)
    assert config(eos_token_id=[3, 5]).eos_token_ids == (3, 5)
    assert config(eos_token_id=None).eos_token_ids == ()
    for bad in ("</s>", [-1], True, [2**40]):
        with pytest.raises(ModelLoadError, match="eos_token_id"):
            _ = config(eos_token_id=bad).eos_token_ids


def test_head_dim_follows_from_the_hidden_size_where_it_is_absent():
    assert config(hidden_size=64, num_attention_heads=4).head_dim == 16
    assert config(hidden_size=64, num_attention_heads=4, head_dim=32).head_dim == 32


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ("[" * 200_000, "not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
    ],
    ids=["empty", "cut", "list", "deep", "huge"],
)
def test_what_is_no_json_object_is_refused(tmp_path, text, cause):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ModelLoadError, match=cause):
        read_json_object(path)


def test_what_is_no_text_file_is_refused(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(ModelLoadError, match="does not exist"):
        read_json_object(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ModelLoadError, match="not UTF-8"):
        read_json_object(path)
    path.write_text(" " * (MAX_JSON_BYTES + 1))
    with pytest.raises(ModelLoadError, match="at most"):
        read_json_object(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelLoadError, match="is not a file"):
        read_json_object(path)


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ModelLoadError, match="is not a file"):
        HFConfig.from_directory(tmp_path)


def test_from_directory_reads_config_json(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 8}))
    loaded = HFConfig.from_directory(tmp_path)
    assert loaded.require("hidden_size", int) == 8
    assert loaded.path == tmp_path / "config.json"
