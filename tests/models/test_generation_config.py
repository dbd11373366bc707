import json

import pytest

from sglite.errors import ModelLoadError
from sglite.models.generation_config import GenerationDefaults
from sglite.models.hf_config import HFConfig

HF = HFConfig.from_dict({"eos_token_id": 9})


def read(directory, **values):
    (directory / "generation_config.json").write_text(json.dumps(values))
    return GenerationDefaults.from_directory(directory, HF)


def test_all_values_are_taken(tmp_path):
    defaults = read(
        tmp_path,
        eos_token_id=[1, 2],
        do_sample=True,
        temperature=0.7,
        top_p=0.8,
        top_k=20,
        min_p=0,
        repetition_penalty=1.05,
    )
    assert defaults == GenerationDefaults(
        eos_token_ids=(1, 2),
        temperature=0.7,
        top_p=0.8,
        top_k=20,
        min_p=0.0,
        repetition_penalty=1.05,
    )


def test_without_a_file_config_json_says_where_texts_end(tmp_path):
    assert GenerationDefaults.from_directory(tmp_path, HF) == GenerationDefaults(eos_token_ids=(9,))


def test_one_eos_id_counts_and_none_falls_back(tmp_path):
    assert read(tmp_path, eos_token_id=4).eos_token_ids == (4,)
    assert read(tmp_path, top_p=0.5).eos_token_ids == (9,)


def test_do_sample_false_means_greedy(tmp_path):
    assert read(tmp_path, do_sample=False, temperature=0.6).temperature == 0.0
    assert read(tmp_path, temperature=0.6).temperature == 0.6


def test_top_k_0_means_all(tmp_path):
    assert read(tmp_path, top_k=0).top_k is None
    assert read(tmp_path, top_k=-1).top_k is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperature", -1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("repetition_penalty", 0),
        ("top_k", 1.5),
        ("top_k", -5),
        ("eos_token_id", "</s>"),
    ],
)
def test_a_value_out_of_range_is_named(tmp_path, key, value):
    with pytest.raises(ModelLoadError, match=f"generation_config.json: {key} is "):
        read(tmp_path, **{key: value})
