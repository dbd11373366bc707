import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sglite.distributed.layout import RankLayout
from sglite.errors import ConfigError, ModelLoadError
from sglite.make_model import make_model
from sglite.models import loader
from sglite.models.layers.parallel import ModelShare
from sglite.models.loader import load_model, read_model_info
from sglite.models.quantization import Quantization

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
}


def make(directory, **settings):
    return make_model(
        directory, **{"dtype": "float32", "with_tokenizer": False, **SIZES, **settings}
    )


def edit_weights(directory, change):
    """Rewrite the checkpoint after ``change(tensors)``."""
    path = directory / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


def parameters(model):
    return dict(model.named_parameters())


def assert_holds_checkpoint(loaded, directory, dtype):
    """Every tensor of the files lies, converted, where the weight map says."""
    targets = loaded.model.load_plan()
    for path in sorted(directory.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            parameter = parameters(loaded.model)[targets[name].parameter]
            put = targets[name].put
            part = parameter if put is None else parameter.narrow(*put)
            assert torch.equal(part, tensor.to(dtype)), name


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral"])
@pytest.mark.parametrize(("tied", "num_shards"), [(True, 1), (False, 3)])
def test_every_tensor_lands_in_its_place(tmp_path, architecture, tied, num_shards):
    make(tmp_path, architecture=architecture, tie_word_embeddings=tied, num_shards=num_shards)
    loaded = load_model(tmp_path, dtype="float32")
    assert_holds_checkpoint(loaded, tmp_path, torch.float32)
    assert (loaded.model.lm_head is None) == tied
    assert loaded.num_bytes == 4 * loaded.spec.num_parameters


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "float16"])
def test_types_are_converted_on_the_way(tmp_path, stored, wanted):
    make(tmp_path, dtype=stored)
    loaded = load_model(tmp_path, dtype=wanted)
    assert loaded.dtype == getattr(torch, wanted)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {loaded.dtype}
    assert_holds_checkpoint(loaded, tmp_path, loaded.dtype)


def test_dummy_weights_need_config_json_alone_and_equal_what_make_model_writes(tmp_path):
    make(tmp_path, with_tokenizer=True)
    loaded = load_model(tmp_path, dtype="bfloat16")
    for path in tmp_path.iterdir():
        if path.name != "config.json":
            path.unlink()
    dummy = load_model(tmp_path, dtype="bfloat16", load_format="dummy")
    for name, parameter in parameters(dummy.model).items():
        if name != "embed_tokens.weight":  # the pad token's row is quiet in the one alone
            assert torch.equal(parameter, parameters(loaded.model)[name]), name


def test_dummy_weights_are_drawn_where_the_model_lies(tmp_path, monkeypatch):
    make(tmp_path)
    devices = []

    def drawn(name, shape, *, dtype, device, **_):
        devices.append(device)
        return torch.zeros(shape, dtype=dtype, device="cpu")

    monkeypatch.setattr(loader, "random_weight", drawn)
    load_model(tmp_path, load_format="dummy", device="meta")
    assert set(devices) == {"meta"}


def share_of(rank, **sizes):
    return ModelShare.of(RankLayout(**sizes), rank, SIZES["num_hidden_layers"])


def test_ranks_hold_their_shares(tmp_path):
    make(tmp_path)
    whole = load_model(tmp_path, dtype="float32").model
    shares = [share_of(rank, tp_size=2) for rank in (0, 1)]
    ranks = [load_model(tmp_path, dtype="float32", share=share).model for share in shares]
    for part, dim in (("layers.1.mlp.down.weight", 1), ("embed_tokens.weight", 0)):
        joined = torch.cat([parameters(rank)[part] for rank in ranks], dim=dim)
        assert torch.equal(joined, parameters(whole)[part])


@pytest.mark.parametrize("load_format", ["safetensors", "dummy"])
def test_stages_hold_the_whole_model_s_weights_of_their_layers(tmp_path, caplog, load_format):
    make(tmp_path)
    options = {"dtype": "float32", "load_format": load_format}
    whole = parameters(load_model(tmp_path, **options).model)
    found = {}
    for rank in (0, 1):
        loaded = load_model(tmp_path, share=share_of(rank, pp_size=2), **options)
        assert loaded.num_bytes == sum(each.nbytes for each in loaded.model.parameters())
        assert loaded.share.layers == range(rank, rank + 1)
        found |= parameters(loaded.model)
    assert set(found) == set(whole)
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert not caplog.records, "another stage's tensors are not unexpected"


def test_dummy_weights_of_a_rank_are_the_whole_model_s(tmp_path):
    make(tmp_path, vocab_size=301)
    share = share_of(1, tp_size=2)
    whole = load_model(tmp_path, dtype="float32", load_format="dummy").model
    rank = load_model(tmp_path, dtype="float32", load_format="dummy", share=share).model
    assert torch.equal(rank.embed_tokens.weight[:150], whole.embed_tokens.weight[151:])
    assert not rank.embed_tokens.weight[150].any()


def test_a_rank_reads_only_its_part(tmp_path):
    """What another rank reads may even be no number."""
    make(tmp_path)
    name = "model.layers.1.mlp.down_proj.weight"
    edit_weights(tmp_path, lambda tensors: tensors[name][:, -1].fill_(torch.nan))
    load_model(tmp_path, share=share_of(0, tp_size=2))
    load_model(tmp_path, share=share_of(0, pp_size=2))
    for share in (share_of(1, tp_size=2), share_of(1, pp_size=2)):
        with pytest.raises(ModelLoadError, match=r"down_proj\.weight' holds NaN"):
            load_model(tmp_path, share=share)


def test_a_rank_misses_what_only_others_read(tmp_path):
    make(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelLoadError, match=r"missing tensor 'model\.layers\.1\.mlp\.up_proj"):
        load_model(tmp_path, share=share_of(0, pp_size=2))


def test_shares_that_are_all_padding_are_loaded(tmp_path):
    make(tmp_path, intermediate_size=5)
    share = share_of(3, tp_size=4)
    model = load_model(tmp_path, dtype="float16", share=share).model
    assert not model.blocks()[0].mlp.down.weight.any()


def test_lanes_are_not_quantized(tmp_path):
    share = ModelShare.of(RankLayout(tp_size=2, num_lanes=2), 0, 4)
    with pytest.raises(ConfigError, match=r"^quantization needs .* do not run enable_dp_attention"):
        load_model(tmp_path, quantization=Quantization.of("int8", 32), share=share)


def test_the_weights_are_in_memory_once(tmp_path):
    """Peak growth of a load, in a process of its own, is the parameters and a little more."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12}
    make(tmp_path / "big", **sizes)
    make(tmp_path / "warm_up")
    script = """
import sys
from sglite.models.loader import load_model
def read(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024
load_model(sys.argv[1], dtype="float32")
before = read("VmRSS:")
loaded = load_model(sys.argv[2], dtype="float32")
print(loaded.num_bytes, read("VmHWM:") - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "warm_up", tmp_path / "big"],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "src"), "OMP_NUM_THREADS": "1"},
    )
    num_bytes, growth = map(int, result.stdout.split())
    assert num_bytes > 150e6
    assert num_bytes * 0.9 < growth < num_bytes * 1.25


def test_a_missing_tensor_is_named(tmp_path):
    make(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelLoadError, match=r"missing tensor 'model\.layers\.1\.mlp\.up_proj"):
        load_model(tmp_path)


def test_a_few_of_many_missing_tensors_are_named(tmp_path):
    make(tmp_path)

    def keep_the_norm(tensors):
        for name in list(tensors):
            if name != "model.norm.weight":
                del tensors[name]

    edit_weights(tmp_path, keep_the_norm)
    with pytest.raises(ModelLoadError, match=r"'model\.embed_tokens\.weight', .* and \d+ more"):
        load_model(tmp_path)


def test_an_extra_tensor_is_reported_once_and_ignored(tmp_path, caplog):
    make(tmp_path)
    edit_weights(
        tmp_path, lambda tensors: tensors.update({f"extra.{i}": torch.ones(1) for i in range(5)})
    )
    with caplog.at_level(logging.WARNING):
        loaded = load_model(tmp_path, dtype="float32")
    assert len(caplog.records) == 1
    assert "'extra.0', 'extra.1', 'extra.2' and 2 more" in caplog.records[0].fields["ignored"]
    assert loaded.num_bytes == 4 * loaded.spec.num_parameters


def test_derived_buffers_and_a_tied_head_are_ignored_silently(tmp_path, caplog):
    make(tmp_path)
    edit_weights(
        tmp_path,
        lambda tensors: tensors.update(
            {
                "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8),
                "lm_head.weight": torch.ones(300, 64),
            }
        ),
    )
    load_model(tmp_path)
    assert not caplog.records


def test_a_wrong_shape_is_found_before_anything_is_allocated(tmp_path, monkeypatch):
    make(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors.update({"model.norm.weight": torch.ones(65)}))
    monkeypatch.setattr("sglite.models.loader.Decoder", lambda *a, **k: pytest.fail("allocated"))
    with pytest.raises(ModelLoadError, match=r"'model\.norm\.weight' has shape \[65\].*\[64\]"):
        load_model(tmp_path)


def test_a_type_that_is_no_weight_is_refused(tmp_path):
    make(tmp_path)
    edit_weights(
        tmp_path,
        lambda tensors: tensors.update({"model.norm.weight": torch.ones(64, dtype=torch.int64)}),
    )
    with pytest.raises(ModelLoadError, match=r"'model\.norm\.weight' has type int64"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_that_is_no_number_is_refused(tmp_path, value):
    make(tmp_path)
    name = "model.layers.1.mlp.up_proj.weight"
    edit_weights(tmp_path, lambda tensors: tensors[name].view(-1)[-1:].fill_(value))
    with pytest.raises(ModelLoadError, match=r"up_proj\.weight' holds NaN or infinite"):
        load_model(tmp_path)


def test_large_numbers_whose_sum_overflows_are_accepted(tmp_path):
    make(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors["model.norm.weight"].fill_(3e38))
    assert load_model(tmp_path, dtype="float32").model.norm.weight[0] == 3e38


def test_a_weight_beyond_float16_is_refused_there(tmp_path):
    make(tmp_path)
    edit_weights(tmp_path, lambda tensors: tensors["model.norm.weight"][3].fill_(-70000))
    with pytest.raises(ModelLoadError, match="reaches 70000, beyond float16"):
        load_model(tmp_path, dtype="float16")
    load_model(tmp_path, dtype="bfloat16")


def test_a_quantized_checkpoint_is_refused_by_its_method(tmp_path):
    make(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "awq"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="quantized \\('awq'\\)"):
        load_model(tmp_path)


def test_a_model_larger_than_memory_is_one_error(tmp_path, monkeypatch):
    make(tmp_path)

    def no_memory(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nat line 3")

    monkeypatch.setattr("sglite.models.loader.Decoder", no_memory)
    with pytest.raises(ModelLoadError, match=r"no room for .* GiB of weights on cpu") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_unknown_option_value_is_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match="load_format is 'npcache'"):
        load_model(tmp_path, load_format="npcache")


def test_integer_weights_without_the_compiled_kernels_are_a_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"^quantization needs the compiled CPU kernels: "):
        load_model(tmp_path / "unread", quantization=Quantization.of("int8", 32))


def test_info_is_read_without_weights(tmp_path):
    make(tmp_path, with_tokenizer=True)
    (tmp_path / "model.safetensors").unlink()
    info = read_model_info(tmp_path)
    assert info.spec.hidden_size == 64
    assert info.generation_defaults.eos_token_ids == (299, 297)
    assert info.dtype("float16") == torch.float16
