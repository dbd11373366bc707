import pytest

from sglite.config import EngineConfig, ServerConfig
from sglite.config_fields import option_fields
from sglite.config_sglang import EQUIVALENTS, NEVER, NOT_YET, translate
from sglite.errors import ConfigError

# The flags of SGLang 0.5 that its users type most.
SGLANG_FLAGS = """
model-path model tokenizer-path host port served-model-name dtype context-length device tp-size tp
tensor-parallel-size dp-size mem-fraction-static max-running-requests max-queued-requests
max-total-tokens chunked-prefill-size max-prefill-tokens enable-mixed-chunk schedule-policy
schedule-conservativeness page-size radix-eviction-policy disable-radix-cache
disable-overlap-schedule disable-cuda-graph cuda-graph-max-bs cuda-graph-bs
disable-cuda-graph-padding enable-torch-compile attention-backend prefill-attention-backend
decode-attention-backend disable-piecewise-cuda-graph piecewise-cuda-graph-max-tokens
sampling-backend
grammar-backend quantization kv-cache-dtype load-format enable-hierarchical-cache hicache-ratio
hicache-size hicache-write-policy speculative-algorithm speculative-num-draft-tokens lora-paths
max-loras-per-batch chat-template tool-call-parser reasoning-parser api-key admin-api-key
enable-metrics enable-cache-report log-level log-requests decode-log-interval watchdog-timeout
random-seed enable-deterministic-inference skip-tokenizer-init stream-interval
incremental-streaming-output allow-auto-truncate trust-remote-code disaggregation-mode
""".split()

OURS = {keyword for field in option_fields(ServerConfig).values() for keyword in field.keywords}


@pytest.mark.parametrize("flag", SGLANG_FLAGS)
def test_every_flag_of_sglang_is_ours_or_answered_plainly(flag):
    name = flag.replace("-", "_")
    assert name in OURS | EQUIVALENTS.keys() | NOT_YET.keys() | NEVER.keys()


def test_no_option_of_ours_is_called_foreign():
    assert not OURS & (EQUIVALENTS.keys() | NOT_YET.keys() | NEVER.keys())


def test_equivalents_set_options_that_exist():
    for choices in EQUIVALENTS.values():
        for settled in choices.values():
            EngineConfig(**settled)


def test_equivalents_reach_their_option():
    assert EngineConfig.from_kwargs(model_mode="no-cache").disable_radix_cache
    assert EngineConfig.from_kwargs(disable_overlap_schedule=True).max_in_flight == 1
    assert EngineConfig.from_kwargs(disable_overlap_schedule=False).max_in_flight == 2
    assert EngineConfig.from_kwargs(trust_remote_code=False) == EngineConfig()
    assert EngineConfig.from_kwargs(enable_cuda_graph=False).disable_cuda_graph
    assert EngineConfig.from_kwargs(disable_piecewise_cuda_graph=True).cuda_graph_max_tokens == 0
    assert EngineConfig.from_kwargs(compile_model=True).enable_torch_compile


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"graph": 0}, "cuda_graph_max_bs", 0),
        ({"enforce_eager": True}, "disable_cuda_graph", True),
        ({"cuda_graph_max_seq_len": 64}, "cuda_graph_max_tokens", 64),
        ({"enable_deterministic_inference": True}, "deterministic", True),
        ({"attn": "fa,fi"}, "attention_backend", "fa3,flashinfer"),
        ({"attn_implementation": "eager"}, "attention_backend", "torch"),
        ({"decode_attention_backend": "torch_native"}, "decode_attention_backend", "torch"),
    ],
)
def test_options_of_a_gpu_have_the_spellings_of_others(given, name, value):
    assert getattr(EngineConfig.from_kwargs(**given), name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lora_paths", None),
        ("hicache_size", 0),
        ("hicache_size", "0"),
        ("trust_remote_code", None),
        ("trust_remote_code", "false"),
        ("enable_cache_report", False),
    ],
)
def test_what_asks_for_nothing_passes(name, value):
    assert translate(name, value, label=name) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "tpu"}, "'tpu' is not allowed; give one of auto"),
        ({"tp_size": 0}, "0 is not allowed"),
        ({"quantization": "awq"}, "^quantization: awq is not supported yet; give int8 or int4$"),
        (
            {"kv_cache_dtype": "fp8_e5m2"},
            "^kv_cache_dtype: fp8_e5m2 is not supported yet; give int8",
        ),
        ({"kv_cache_dtype": "int9"}, "'int9' is not allowed; give one of auto, float32"),
        ({"quantization": "int3"}, "'int3' is not allowed; give one of int8, int4"),
    ],
)
def test_what_sglang_can_and_sglite_cannot_yet_is_told_as_that(options, message):
    with pytest.raises(ConfigError, match=message):
        EngineConfig.from_kwargs(**options)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hicache_size", 2, "--x is not supported yet: KV lives in one tier of memory"),
        ("trust_remote_code", True, "--x is not supported: sglite runs no code"),
        ("model_mode", "flashinfer", "--x: 'flashinfer' is not supported; give one of no-cache"),
        ("model_mode", ["no-cache"], "is not supported; give one of"),
    ],
)
def test_what_cannot_be_done_is_said_plainly(name, value, message):
    with pytest.raises(ConfigError, match=message):
        translate(name, value, label="--x")
