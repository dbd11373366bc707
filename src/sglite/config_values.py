"""What option values may look like: spellings, texts with a form, why some are refused.

Knows the words of :mod:`sglite.config`; what they do is known where they are used.
"""

from __future__ import annotations

from sglite.config_fields import TextForm

DTYPE_SPELLINGS = {
    "float": "float32",
    "fp32": "float32",
    "half": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
}
ATTENTION_BACKENDS = ("auto", "triton", "flashinfer", "fa3", "torch")
ATTENTION_SPELLINGS = {
    "fi": "flashinfer",
    "fa": "fa3",
    "flash_attention_3": "fa3",
    "torch_native": "torch",
    "sdpa": "torch",
    "eager": "torch",
}
FOREIGN_ATTENTION = ("flash_attention_2", "fa4", "trtllm", "trtllm_mha", "flex_attention")


def read_device(text: str) -> str | None:
    """``text`` where it names a device: auto, cpu, mps, cuda, or cuda with a number."""
    kind, colon, number = text.partition(":")
    if not colon:
        return text if text in ("auto", "cpu", "mps", "cuda") else None
    is_number = kind == "cuda" and number.isascii() and number.isdigit() and len(number) < 4
    return f"cuda:{int(number)}" if is_number else None


def device_type(device: str) -> str:
    """``"cuda:1" -> "cuda"``: the kind of device that the option names."""
    return device.partition(":")[0]


def read_attention_backends(text: str) -> str | None:
    """One backend, or two with a comma between them, in their own names; None for other texts."""
    words = [ATTENTION_SPELLINGS.get(word.strip(), word.strip()) for word in text.split(",")]
    is_known = len(words) <= 2 and all(word in ATTENTION_BACKENDS for word in words)
    return ",".join(words) if is_known else None


def attention_backend_pair(value: str) -> tuple[str, str]:
    """The backends of prefill and of decode that ``attention_backend`` names, read before."""
    prefill, _, decode = value.partition(",")
    return prefill, decode or prefill


DEVICE = TextForm("one of auto, cpu, cuda, cuda:0, cuda:1, ..., mps", read_device)
ATTENTION = TextForm(
    f"one of {', '.join(ATTENTION_BACKENDS)}, or two as PREFILL,DECODE", read_attention_backends
)


def why_no_quantization(value: object) -> str | None:
    """Why a kind of quantization that others know is refused."""
    if value in ("awq", "gptq", "fp8", "gguf", "bitsandbytes", "w8a8_fp8", "compressed-tensors"):
        return f"{value} is not supported yet; give int8 or int4"
    return None


def why_no_kv_dtype(value: object) -> str | None:
    """Why a type of keys and values that others know is refused."""
    if value in ("fp8_e5m2", "fp4_e2m1", "int4"):
        return f"{value} is not supported yet; give int8, fp8_e4m3, bfloat16, float16 or float32"
    return None


def why_no_attention(value: object) -> str | None:
    """Why an attention backend that others know is refused."""
    named = [word.strip() for word in str(value).split(",")]
    foreign = [word for word in named if word in FOREIGN_ATTENTION]
    if foreign:
        return f"{foreign[0]} is not supported yet; give {ATTENTION.words.removeprefix('one of ')}"
    return None
