import logging

import pytest

from sglite.config import EngineConfig, ServerConfig
from sglite.config_fields import option_fields
from sglite.config_resolve import contradictions, refuse_missing_gpus, resolve
from sglite.errors import ConfigError
from sglite.hardware import GpuFacts, HardwareFacts

BARE = HardwareFacts(why_no_cuda="torch is built without CUDA")
GPU = HardwareFacts(cuda=(GpuFacts("Some GPU", 80 << 30, (9, 0)),))


def test_open_values_are_settled_in_a_new_object():
    config = EngineConfig(model_path="m")
    settled = resolve(config, BARE)
    assert (settled.device, settled.mem_fraction_static, settled.tokenizer_path) == (
        "cpu",
        0.5,
        "m",
    )
    assert (settled.page_size, settled.max_in_flight) == (16, 1)
    assert (settled.cuda_graph_max_bs, settled.cuda_graph_max_tokens) == (0, 0)
    assert settled.chunked_prefill_size is None
    assert config.mem_fraction_static is None
    assert settled.dtype == "auto" and settled.context_length is None


def test_a_gpu_is_taken_and_has_defaults_of_its_own():
    settled = resolve(EngineConfig(), GPU)
    assert (settled.device, settled.mem_fraction_static) == ("cuda:0", 0.9)
    assert (settled.page_size, settled.max_in_flight) == (64, 2)
    assert settled.chunked_prefill_size == 8192
    assert (settled.cuda_graph_max_bs, settled.cuda_graph_max_tokens) == (256, 512)


@pytest.mark.parametrize("facts", [BARE, GPU])
def test_no_settled_option_is_left_open(facts):
    settled = resolve(EngineConfig(), facts)
    optional = {name for name, each in option_fields(EngineConfig).items() if each.is_settled}
    assert optional and all(getattr(settled, name) is not None for name in optional)


@pytest.mark.parametrize("facts", [BARE, GPU])
def test_what_is_settled_settles_to_itself(facts):
    once = resolve(EngineConfig(model_path="m", num_pages=3), facts)
    assert resolve(once, facts) == once


def test_values_given_are_kept():
    given = {
        "tokenizer_path": "t",
        "mem_fraction_static": 0.7,
        "page_size": 32,
        "max_in_flight": 1,
        "chunked_prefill_size": -1,
        "prefill_attention_backend": "torch",
        "decode_attention_backend": "triton",
        "cuda_graph_max_bs": 8,
        "cuda_graph_max_tokens": 0,
    }
    config = EngineConfig(model_path="m", device="cuda:0", **given)
    assert resolve(config, GPU) == config


@pytest.mark.parametrize(
    ("options", "backends"),
    [
        ({}, ("auto", "auto")),
        ({"attention_backend": "fi"}, ("flashinfer", "flashinfer")),
        ({"attention_backend": "fa,fi"}, ("fa3", "flashinfer")),
        ({"attention_backend": "fa,fi", "decode_attention_backend": "triton"}, ("fa3", "triton")),
        ({"prefill_attention_backend": "sdpa"}, ("torch", "auto")),
    ],
)
def test_each_kind_of_run_gets_its_attention_backend(options, backends):
    settled = resolve(EngineConfig.from_kwargs(**options), GPU)
    found = (settled.prefill_attention_backend, settled.decode_attention_backend)
    assert found == backends


@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({"max_running_requests": 40}, (40, 512)),
        ({"max_running_requests": 512}, (256, 512)),
        ({"max_running_requests": 40, "cuda_graph_max_bs": 64}, (40, 512)),
        ({"max_running_requests": 400, "cuda_graph_max_bs": 300}, (300, 512)),
        ({"cuda_graph_max_bs": 0}, (0, 512)),
        ({"disable_cuda_graph": True}, (0, 0)),
        ({"disable_cuda_graph": True, "cuda_graph_max_bs": 9, "cuda_graph_max_tokens": 9}, (0, 0)),
    ],
)
def test_graphs_are_no_larger_than_asked_nor_than_a_batch(options, largest):
    settled = resolve(EngineConfig(**options), GPU)
    assert (settled.cuda_graph_max_bs, settled.cuda_graph_max_tokens) == largest


def test_every_choice_is_logged_with_its_reason(caplog):
    with caplog.at_level(logging.DEBUG):
        settled = resolve(EngineConfig(), GPU)
    fields = [record.fields for record in caplog.records if record.message == "option_settled"]
    assert all(each["reason"] for each in fields)
    names = [next(iter(each)) for each in fields]
    assert names[0] == "device" and len(set(names)) == len(names)
    assert all(
        each[name] == getattr(settled, name) for each, name in zip(fields, names, strict=True)
    )
    changed = {
        name
        for name in option_fields(EngineConfig)
        if getattr(settled, name) != getattr(EngineConfig(), name)
    }
    assert changed == set(names)


def test_only_a_choice_that_may_surprise_is_told_above_debug(caplog):
    old = HardwareFacts(cuda=(GpuFacts("Old GPU", 1 << 30, (6, 1)),))
    with caplog.at_level(logging.INFO):
        resolve(EngineConfig(), BARE)
        resolve(EngineConfig(), GPU)
        assert caplog.records == []
        resolve(EngineConfig(), HardwareFacts(has_mps=True))
        resolve(EngineConfig(), old)
    assert [record.fields["device"] for record in caplog.records] == ["cpu", "cpu"]
    assert "8.0" in caplog.records[1].fields["reason"]


def test_auto_passes_over_gpus_that_are_too_old():
    old, new = GpuFacts("a", 1 << 30, (7, 5)), GpuFacts("b", 1 << 30, (8, 0))
    facts = HardwareFacts(cuda=(old, new))
    assert resolve(EngineConfig(), facts).device == "cuda:1"
    assert resolve(EngineConfig(device="cuda"), facts).device == "cuda:0"


@pytest.mark.parametrize(
    ("device", "facts", "message"),
    [
        ("mps", BARE, "^device: 'mps' is not available on this machine"),
        ("cuda", BARE, r"'cuda' is not available on this machine \(torch is built without CUDA\);"),
        ("cuda:1", BARE, "'cuda:1' is not available"),
        ("cuda:1", GPU, "^device: 'cuda:1' is not on this machine; only cuda:0 is$"),
        ("cuda:2", HardwareFacts(cuda=GPU.cuda * 2), "; cuda:0 to cuda:1 are$"),
    ],
)
def test_device_that_is_not_there_is_refused(device, facts, message):
    with pytest.raises(ConfigError, match=message):
        resolve(EngineConfig(device=device), facts)


@pytest.mark.parametrize("kv_dtype", ["int8", "fp8_e4m3"])
@pytest.mark.parametrize("device", ["mps", "cuda:0"])
def test_kv_of_8_bits_is_for_the_cpu(kv_dtype, device):
    facts = HardwareFacts(has_mps=True, cuda=GPU.cuda)
    given = f"^kv_cache_dtype: '{kv_dtype}' is for device cpu.*{device}.*or device cpu$"
    with pytest.raises(ConfigError, match=given):
        resolve(EngineConfig(device=device, kv_cache_dtype=kv_dtype), facts)
    assert resolve(EngineConfig(kv_cache_dtype=kv_dtype), BARE).kv_cache_dtype == kv_dtype


def test_kv_of_float16_is_for_other_devices():
    with pytest.raises(ConfigError, match="'float16' is not for device cpu; give auto, bfloat16"):
        resolve(EngineConfig(kv_cache_dtype="float16"), BARE)
    assert resolve(EngineConfig(kv_cache_dtype="float16"), GPU).kv_cache_dtype == "float16"


def test_quantised_weights_are_for_the_cpu():
    with pytest.raises(ConfigError, match="^quantization: 'int4' is for device cpu"):
        resolve(EngineConfig(quantization="int4"), GPU)
    assert resolve(EngineConfig(quantization="int4", device="cpu"), GPU).device == "cpu"


def test_options_without_effect_are_named(caplog):
    config = EngineConfig(
        disable_radix_cache=True,
        radix_cache_max_tokens=4,
        chunked_prefill_size=8,
        target_itl_ms=50.0,
        skip_tokenizer_init=True,
        chat_template="x",
    )
    names = [text.split()[0] for text in contradictions(config)]
    assert names == ["radix_cache_max_tokens", "target_itl_ms", "chat_template"]
    assert contradictions(EngineConfig()) == []
    with caplog.at_level(logging.WARNING):
        resolve(config, BARE)
    assert [record.message for record in caplog.records] == ["option_without_effect"] * 3


@pytest.mark.parametrize(
    "options",
    [
        {"attention_backend": "triton"},
        {"decode_attention_backend": "fi"},
        {"cuda_graph_max_bs": 8},
        {"cuda_graph_max_tokens": 8},
        {"cuda_graph_capture": "lazy"},
        {"enable_torch_compile": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_a_gpu_have_no_effect_on_the_cpu(options):
    (name,) = options
    assert contradictions(EngineConfig(device="cpu", **options)) == [f"{name} (device is cpu)"]
    assert contradictions(EngineConfig(device="cuda", **options)) == []
    assert contradictions(EngineConfig(**options)) == []


def test_what_asks_the_cpu_for_nothing_is_no_contradiction():
    options = {"disable_cuda_graph": True, "cuda_graph_max_bs": 0, "attention_backend": "auto"}
    assert contradictions(EngineConfig(device="cpu", deterministic=True, **options)) == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"disable_cuda_graph": True, "cuda_graph_max_bs": 4}, "cuda_graph_max_bs (disable_cuda"),
        ({"cpu_kernels": "portable"}, "cpu_kernels (device is cuda:0)"),
        ({"target_itl_ms": 50.0}, "target_itl_ms (on CUDA chunked_prefill_size counts)"),
        ({"deterministic": True, "enable_torch_compile": True}, "enable_torch_compile (determ"),
        ({"disable_cuda_graph": True, "cuda_graph_capture": "lazy"}, "cuda_graph_capture (dis"),
        ({"device": "mps", "deterministic": True}, "deterministic (device is mps)"),
        ({"device": "cpu", "deterministic": True, "cpu_kernels": "torch"}, "deterministic (cpu_ke"),
    ],
)
def test_what_another_option_makes_pointless_is_named_with_it(options, found):
    (text,) = contradictions(EngineConfig(**{"device": "cuda:0", **options}))
    assert text.startswith(found)


@pytest.mark.parametrize(("facts", "page_size"), [(BARE, 16), (GPU, 64)])
def test_num_pages_settles_the_pool(facts, page_size):
    assert resolve(EngineConfig(num_pages=7, page_size=32), facts).max_total_tokens == 224
    assert resolve(EngineConfig(num_pages=7), facts).max_total_tokens == 7 * page_size


def test_num_pages_beside_max_total_tokens_is_pointed_out():
    both = EngineConfig(num_pages=7, max_total_tokens=100)
    assert contradictions(both) == ["max_total_tokens (num_pages is set)"]


def test_as_many_steps_are_open_as_there_are_stages(caplog):
    with caplog.at_level(logging.DEBUG):
        settled = resolve(EngineConfig(pp_size=3), BARE)
    assert settled.max_in_flight == 3
    reasons = [
        record.fields["reason"] for record in caplog.records if "max_in_flight" in record.fields
    ]
    assert reasons == ["so many stages compute at once (pp_size is 3)"]
    assert resolve(EngineConfig(pp_size=3, max_in_flight=2), BARE).max_in_flight == 2


def test_more_open_steps_than_stages_have_no_effect():
    (text,) = contradictions(EngineConfig(pp_size=2, max_in_flight=3))
    assert text.startswith("max_in_flight (pp_size is 2")
    assert contradictions(EngineConfig(pp_size=2, max_in_flight=2)) == []
    assert contradictions(EngineConfig(max_in_flight=3)) == []


def test_stages_are_for_the_cpu():
    with pytest.raises(ConfigError, match="pp_size: 2 stages are for device cpu"):
        resolve(EngineConfig(pp_size=2, device="cuda"), GPU)


def test_ranks_are_not_for_mps():
    with pytest.raises(ConfigError, match="tp_size: 2 ranks are for device cpu or cuda, and dev"):
        resolve(EngineConfig(tp_size=2, device="mps"), HardwareFacts(has_mps=True))


@pytest.mark.parametrize(
    ("options", "last"),
    [({"tp_size": 2}, "cuda:1"), ({"device": "cuda:1"}, "cuda:1"), ({"tp_size": 8}, "cuda:7")],
)
def test_an_engine_needs_a_gpu_for_each_rank(options, last):
    with pytest.raises(ConfigError, match=f"to {last} on this machine, which has 1 in all; give a"):
        refuse_missing_gpus(EngineConfig(**{"device": "cuda:0", **options}), GPU)


@pytest.mark.parametrize(
    "options", [{}, {"device": "cpu", "tp_size": 4}, {"tp_size": 2, "nnodes": 2}]
)
def test_gpus_that_are_there_will_do(options):
    refuse_missing_gpus(EngineConfig(**{"device": "cuda:0", **options}), GPU)


@pytest.mark.parametrize(
    ("options", "pointless", "sensible"),
    [
        ({"dist_init_addr": "10.0.0.1:9"}, "nnodes is 1", {"nnodes": 2, "tp_size": 2}),
        ({"dist_timeout_s": 7.0}, "there is one rank", {"pp_size": 2}),
        ({"routing_policy": "sticky"}, "there is one engine", {"dp_size": 2}),
        ({"balance_tokens": 7}, "there is one engine", {"dp_size": 2}),
        ({"min_replicas": 2}, "backend is local", {"backend": "ray"}),
        ({"ray_address": "auto"}, "backend is local", {"backend": "ray"}),
        (
            {"backend": "ray", "scale_up_requests": 3},
            "max_replicas is not set",
            {"max_replicas": 4},
        ),
    ],
)
def test_options_of_ranks_and_engines_that_are_not_there_are_pointless(
    options, pointless, sensible
):
    (text,) = contradictions(ServerConfig(**options))
    assert text == f"{list(options)[-1]} ({pointless})"
    assert contradictions(ServerConfig(**options, **sensible)) == []


def test_lanes_are_for_the_cpu():
    lanes = EngineConfig(tp_size=2, dp_size=2, enable_dp_attention=True, device="cuda")
    with pytest.raises(ConfigError, match="enable_dp_attention is for device cpu"):
        resolve(lanes, GPU)


def test_several_ranks_are_not_compiled():
    compiled = EngineConfig(device="cuda:0", tp_size=2, enable_torch_compile=True)
    assert contradictions(compiled) == ["enable_torch_compile (tp_size is 2)"]
    assert contradictions(compiled.replace(tp_size=1)) == []
