"""Every option of sglite, stated once.

A field made with :func:`option` is the keyword of ``LLM(...)``, the command-line flag, the
environment variable ``SGLITE_<NAME>``, the key of a config file, its validation, its help text
(the string under the field) and its row in ``docs/configuration.md``. SGLang's spellings are
aliases. ``None`` means "settled at start-up"; :func:`sglite.config_resolve.resolve` does that once
for all that is ``Settled``, and the rest waits for the checkpoint and the memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from sglite.config_fields import Settled, option, option_fields
from sglite.config_group import OptionGroup
from sglite.config_parallel import ParallelOptions, RoutingOptions
from sglite.config_values import (
    ATTENTION,
    ATTENTION_SPELLINGS,
    DEVICE,
    DTYPE_SPELLINGS,
    why_no_attention,
    why_no_kv_dtype,
    why_no_quantization,
)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(OptionGroup):
    """What to load, and how."""

    model_path: str | None = option(None, aliases=("model", "model-name"))
    """Model directory or hub id. Unset: the small model that comes with sglite."""
    tokenizer_path: str | None = option(None)
    """Tokenizer directory or hub id, when it is not the model's."""
    model_source: Literal["huggingface", "modelscope"] = option("huggingface")
    """Hub for a model id; ModelScope is also tried when Hugging Face cannot be reached."""
    revision: str | None = option(None)
    """Revision of a hub model, for all of its files."""
    load_format: Literal["auto", "safetensors", "dummy"] = option("auto")
    """`dummy` makes random weights from config.json alone, to try sizes and speeds."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto", spellings=DTYPE_SPELLINGS
    )
    """Type of weights and activations; `auto` takes the checkpoint's, float32 on CPUs without
    BF16."""
    quantization: Literal["int8", "int4"] | None = option(
        None, spellings={"w8a8_int8": "int8"}, why_not=why_no_quantization
    )
    """Bits of the weights, made while they are loaded; on the CPU, by the compiled kernels.
    `int8`: a scale per output. `int4`: one per group of inputs; embedding and head have 8 bits.
    Activations become 8 bits, token by token."""
    quantization_group_size: Literal[32, 64, 128] = option(32)
    """Inputs that share a scale with `--quantization int4`; more are smaller and less exact."""
    device: str = option("auto", form=DEVICE)
    """Where the model runs; `auto` takes a CUDA GPU where torch sees one that is new enough, else
    the CPU."""
    cpu_kernels: Literal[
        "auto",
        "torch",
        "avx512_bf16",
        "avx512_vnni",
        "avx512",
        "avx2_vnni",
        "avx2",
        "neon",
        "portable",
    ] = option("auto")
    """Which instruction set the compiled CPU kernels use; `torch` is the reference without them;
    `auto` the fastest that this machine has."""
    cpu_cores: str = option("auto")
    """Cores that compute: `auto` takes as many threads as this process can keep busy, each on a
    core of its own where they are more than 4; `any` pins none; `0-3,8` has one on each."""
    weight_cache: str = option("auto")
    """Directory for weights as the compiled CPU kernels read them, so that the next start does not
    make them again; `auto` is one under the user's cache directory that takes at most a tenth of
    what the disk has free, `off` keeps nothing."""
    context_length: int | None = option(
        None, ge=1, aliases=("max-model-len", "max-seq-len-override")
    )
    """Most tokens of a request, prompt and output; unset: the model's own limit."""
    tokenizer_mode: Literal["auto", "slow"] = option("auto")
    """`slow`: transformers builds the tokenizer; `auto`: only where there is no tokenizer.json."""
    skip_tokenizer_init: bool = option(False)
    """Load no tokenizer: prompts and outputs are token ids."""
    chat_template: str | None = option(None)
    """File with a Jinja chat template that replaces the model's."""


@dataclass(frozen=True, kw_only=True)
class CacheOptions(OptionGroup):
    """The KV pool and the prefix cache."""

    page_size: Settled[int] = option(None, ge=1, le=1024)
    """Tokens per KV page; only whole pages are shared. Unset: 16, on CUDA 64."""
    kv_cache_dtype: Literal["auto", "float32", "bfloat16", "float16", "int8", "fp8_e4m3"] = option(
        "auto",
        spellings=DTYPE_SPELLINGS | {"fp8": "fp8_e4m3"},
        why_not=why_no_kv_dtype,
    )
    """Type of the keys and values in memory; `auto` is that of the activations, and bfloat16 for a
    bfloat16 checkpoint on a CPU that computes in float32. `int8` has a scale per token and head;
    `fp8_e4m3` has none and cannot hold more than 448. Both are for the CPU, and float16 is not."""
    mem_fraction_static: Settled[float] = option(
        None, gt=0, le=1, aliases=("memory-ratio", "gpu-memory-utilization")
    )
    """On CUDA, the share of the GPU's memory that may be in use in all: weights, KV pool, graphs,
    the largest step and other programs; unset: 0.9. On the CPU, the share of the free memory for
    the KV pool, after the weights; unset: 0.5."""
    max_total_tokens: int | None = option(None, ge=1)
    """Tokens in the KV pool; unset: from the memory, at most max_running_requests x context."""
    num_pages: int | None = option(None, ge=1)
    """Pages of the KV pool; sets max_total_tokens to so many pages."""
    disable_radix_cache: bool = option(False)
    """Share no prefixes between requests."""
    radix_eviction_policy: Literal["lru", "lfu", "priority"] = option("lru")
    """Which unused prefix goes first when pages are needed."""
    radix_cache_max_tokens: int | None = option(None, ge=0)
    """Most tokens the prefix cache keeps; unset: the pool is the limit."""
    radix_cache_max_entries: int | None = option(None, ge=0)
    """Most prefixes (leaves of the tree) the prefix cache keeps; unset: no limit."""
    radix_cache_max_prompt_tokens: int | None = option(None, ge=0)
    """Prompts longer than this are not cached; unset: no limit."""


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions(OptionGroup):
    """Who runs, and how much of it in one step."""

    max_running_requests: int = option(256, ge=1, aliases=("max-num-reqs", "max-running-req"))
    """Most requests decoded together. Lower it if start-up reports too little KV memory."""
    max_queued_requests: int = option(2048, ge=0)
    """Most requests that wait; more are refused at once."""
    max_queued_tokens: int = option(4_000_000, ge=0)
    """Most prompt tokens that wait; more are refused at once."""
    schedule_policy: Literal["lpm", "fcfs", "dfs-weight", "weight", "lof", "random", "priority"] = (
        option("lpm", aliases=("schedule-heuristic",), spellings={"fifo": "fcfs"})
    )
    """Order of the waiting requests: longest cached prefix, arrival, depth-first by weight of the
    subtree (two spellings), longest output first, random, or the request's priority."""
    lpm_fallback_threshold: int = option(1000, ge=1)
    """With more requests waiting than this, `lpm` orders by arrival."""
    max_wait_s: float = option(10.0, gt=0)
    """Seconds after which a waiting request comes first, whatever the policy (the aging bound)."""
    static_batching: bool = option(False)
    """Admit a new batch only when the last one is done; for teaching, always slower."""
    chunked_prefill_size: int | None = option(
        None, ge=-1, aliases=("prefill-chunk-size", "max-prefill-length", "max-extend-length")
    )
    """Most prompt tokens of a step; -1: no limit; unset: from target_itl_ms, on CUDA 8192."""
    target_itl_ms: float = option(200.0, gt=0)
    """Time a step should take at most while a streamed answer waits for its next token, in
    milliseconds; other steps may take four times as long. The size of prefill chunks follows."""
    schedule_conservativeness: float = option(1.0, gt=0)
    """Scales the estimate of how much requests will still generate; higher admits fewer and
    retracts less."""
    max_in_flight: Settled[int] = option(None, ge=1, le=64)
    """Steps open at once: 1 is synchronous, 2 plans the next while one runs. Unset: 1, on CUDA 2,
    with pp_size stages as many."""
    adaptive_max_new_tokens: bool = option(False)
    """Under load, shorten the max_new_tokens of new requests."""
    adaptive_max_inflight_threshold: int = option(64, ge=1)
    """With this many requests in the engine, adaptive_max_new_tokens sets in."""
    adaptive_max_new_tokens_factor: float = option(0.8, gt=0, le=1)
    """What adaptive_max_new_tokens multiplies max_new_tokens by."""
    request_timeout_s: float | None = option(None, gt=0)
    """Deadline of requests that bring none, in seconds from arrival."""


AttentionBackendName = Literal["auto", "triton", "flashinfer", "fa3", "torch"]


@dataclass(frozen=True, kw_only=True)
class AcceleratorOptions(OptionGroup):
    """How a step runs on a GPU."""

    attention_backend: str = option(
        "auto",
        aliases=("attn", "attn-impl", "attn-implementation"),
        form=ATTENTION,
        why_not=why_no_attention,
    )
    """What computes attention on CUDA: one name, or two with a comma between them for prompts and
    for single tokens (fi = flashinfer, fa = fa3); `auto` goes by the GPU and what is installed."""
    prefill_attention_backend: Settled[AttentionBackendName] = option(
        None, spellings=ATTENTION_SPELLINGS, why_not=why_no_attention
    )
    """What computes the attention of prompts; unset: as attention_backend says."""
    decode_attention_backend: Settled[AttentionBackendName] = option(
        None, spellings=ATTENTION_SPELLINGS, why_not=why_no_attention
    )
    """What computes the attention of single tokens; unset: as attention_backend says."""
    disable_cuda_graph: bool = option(False, aliases=("enforce-eager",))
    """Record no CUDA graphs: every kernel of every step is launched by itself."""
    cuda_graph_max_bs: Settled[int] = option(None, ge=0, aliases=("graph",))
    """Largest number of requests whose decode step is a CUDA graph; 0: none; unset: 256 or
    max_running_requests, whichever is less."""
    cuda_graph_max_tokens: Settled[int] = option(
        None, ge=0, le=512, aliases=("piecewise-cuda-graph-max-tokens", "cuda-graph-max-seq-len")
    )
    """Chunks of prompts up to so many tokens, rounded up to a power of two, replay CUDA graphs of
    what lies between the attentions; at most 512, 0: none; unset: 512."""
    cuda_graph_capture: Literal["start", "lazy"] = option("start")
    """When CUDA graphs are recorded: all at start-up, or each when it is first needed."""
    enable_torch_compile: bool = option(False)
    """Let torch.compile fuse the second half of each layer, after attention, on CUDA. Little to win
    beside the Triton kernels; starting takes longer."""


@dataclass(frozen=True, kw_only=True)
class RequestOptions(OptionGroup):
    """What requests may ask for."""

    allow_auto_truncate: bool = option(False)
    """Clip a prompt or output that exceeds the context instead of refusing it."""
    aggressive_max_new_tokens: bool = option(False)
    """Clip max_new_tokens to the context less max_context_margin instead of refusing it."""
    max_context_margin: int = option(16, ge=0)
    """Tokens of the context that aggressive_max_new_tokens leaves free."""


@dataclass(frozen=True, kw_only=True)
class GrammarOptions(OptionGroup):
    """Structured output."""

    grammar_backend: Literal["llguidance", "xgrammar", "none"] = option("llguidance")
    """Library that keeps answers to JSON schemas, regular expressions and grammars. `xgrammar` has
    to be installed (extra `xgrammar`); `none` refuses such requests."""
    grammar_whitespace: Literal["none", "single", "free"] = option("single")
    """White space in JSON that follows a schema: none, one blank after commas and colons, or free
    up to a bound, which models may waste tokens on."""
    disable_jump_forward: bool = option(False)
    """Decode also those tokens one by one that a grammar leaves no choice about."""


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions(OptionGroup):
    """The process around the engine."""

    random_seed: int = option(42, ge=0, aliases=("seed",))
    """Seed for requests that bring none and for the policy `random`."""
    deterministic: bool = option(False, aliases=("enable-deterministic-inference",))
    """Compute each request's tokens to the same bits whatever else runs: reductions are not shared
    or split by the batch. On the CPU by the compiled kernels alone; somewhat slower."""
    check: bool = option(False)
    """Verify the engine's invariants after every step; slow."""
    log_level: Literal["debug", "info", "warning", "error"] = option("warning")
    """Least level that is logged, to standard error; `debug` narrates every decision of scheduler
    and cache."""
    log_format: Literal["text", "json"] = option("text")
    """`text` is for people, `json` has one object per line."""


ToolCallParserName = Literal[
    "auto", "none", "hermes", "qwen", "qwen25", "llama3", "mistral", "mistral11", "pythonic",
    "deepseek", "deepseekv3", "deepseekv31",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ServerOptions(OptionGroup):
    """`sglite serve`: where it listens, who may call it, how patient it is."""

    host: str = option("127.0.0.1")
    """Address to listen on. Any other than this machine's own needs a key."""
    port: int = option(30000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and says which."""
    api_key: str | None = option(None, is_secret=True)
    """Key that callers must send as `Authorization: Bearer KEY`. Rather use the environment or
    api_key_file: other users of the machine see command lines."""
    api_key_file: str | None = option(None)
    """File with one key per line, all of them valid."""
    admin_api_key: str | None = option(None, is_secret=True)
    """Key for the control routes (flush, abort all, profile); unset: from this machine only."""
    admin_api_key_file: str | None = option(None)
    """File with one admin key per line."""
    allow_unauthenticated: bool = option(False)
    """Listen on other addresses than this machine's own without any key."""
    ssl_certfile: str | None = option(None, aliases=("ssl-cert-file",))
    """Certificate chain (PEM); with ssl_keyfile the server speaks HTTPS."""
    ssl_keyfile: str | None = option(None, aliases=("ssl-key-file",))
    """Private key (PEM) of the certificate."""
    cors_origins: str | None = option(None)
    """Origins that browsers may call from, with commas between them, or `*`; unset: none."""
    served_model_name: str | None = option(None)
    """Name of the model in answers and in /v1/models; unset: the model path."""
    strict_model_name: bool = option(False)
    """Refuse requests that name another model, instead of serving and echoing any name."""
    stream_interval: int = option(1, ge=1)
    """Tokens per streamed event, where a request does not say."""
    incremental_streaming_output: bool = option(False, aliases=("stream-output",))
    """Events of a /generate stream hold what is new, instead of everything so far."""
    max_connections: int = option(4096, ge=1)
    """Most open connections; more get a 503."""
    keep_alive_timeout_s: float = option(30.0, gt=0)
    """Seconds after which an idle connection is closed."""
    read_timeout_s: float = option(10.0, gt=0)
    """Seconds that a client may take to send the head, and the body, of a request."""
    stall_timeout_s: float = option(30.0, gt=0)
    """Seconds that a streaming client may read nothing before its request is aborted."""
    drain_timeout_s: float = option(30.0, ge=0, aliases=("drain-timeout",))
    """Seconds that running requests have to finish after SIGTERM or Ctrl-C."""
    watchdog_timeout_s: float = option(60.0, gt=0, aliases=("watchdog-timeout",))
    """Seconds without a turn of the engine's loop after which the server ends as failed."""
    enable_metrics: bool = option(True)
    """Count requests, tokens and latencies, and serve them at /metrics."""
    log_requests: bool = option(False)
    """Log one line per HTTP call and one per answer, at any log level: route, status, token counts,
    seconds; never prompts."""
    tool_call_parser: ToolCallParserName = option("auto")
    """How the model writes calls of tools; `auto`: as its chat template shows it."""
    reasoning_parser: Literal["auto", "none", "qwen3", "deepseek-r1"] = option("auto")
    """How the model's thoughts are told from its answer; `auto`: as its chat template shows it."""
    warm_prefix: str | None = option(None, aliases=("warm-prefixes",))
    """Texts, with two vertical bars between them, whose KV is computed at start-up, in the
    background."""
    profile_dir: str | None = option(None)
    """Directory that /start_profile may write traces to; unset: it is refused."""
    api_workers: int = option(1, ge=1, le=64)
    """HTTP processes in front of the engine. One carries thousands of tokens per second; more are
    for machines with many cores and many streams."""


@dataclass(frozen=True, kw_only=True)
class EngineConfig(
    ModelOptions,
    CacheOptions,
    SchedulerOptions,
    AcceleratorOptions,
    RequestOptions,
    GrammarOptions,
    ParallelOptions,
    RuntimeOptions,
):
    """All options of an engine."""

    @classmethod
    def names_elsewhere(cls) -> frozenset[str]:
        """See :class:`OptionGroup`: here those of the server."""
        groups = (ServerOptions, RoutingOptions)
        fields = [field for group in groups for field in option_fields(group).values()]
        return frozenset(keyword for field in fields for keyword in field.keywords)

    @classmethod
    def from_kwargs(cls, **given: Any) -> EngineConfig:
        """The options given, then those of the environment (``SGLITE_<NAME>``), then the defaults.

        SGLang's spellings are accepted. ``config`` may name a file of options, which yields to
        both. ConfigError where a keyword is unknown or a value is not allowed.
        """
        from sglite.config_sources import load_values

        config_file = given.pop("config", None)
        return cls(**load_values(cls, given, config_file=config_file))

    def replace(self, **changes: Any) -> EngineConfig:
        """A copy with other values, checked again."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class ServerConfig(EngineConfig, ServerOptions, RoutingOptions):
    """All options of a server and its engine."""

    @classmethod
    def names_elsewhere(cls) -> frozenset[str]:
        """See :class:`OptionGroup`: everything is here."""
        return frozenset()

    def engine_config(self) -> EngineConfig:
        """The part that the engine's process gets: no keys, no addresses."""
        return EngineConfig(**{name: getattr(self, name) for name in option_fields(EngineConfig)})
