"""Tokenizers made on the spot, of the kinds that language models use; nothing is downloaded."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from tokenizers import Tokenizer as Backend

from sglite.tokenizer.tokenizer import Tokenizer

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Hello world, hello there!",
    "user assistant system tool: what is the capital of France? The capital is Paris.",
    "def main(): return 42  # die Größe über alles, naïve café, 你好世界 привет 🙂🙃",
    "one two three four five six seven eight nine ten STOP stopping stop",
]

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level_backend(special: tuple[str, ...] = (), vocab_size: int = 600) -> Backend:
    """Byte-level BPE with the split of Qwen; special tokens come after the vocabulary."""
    backend = Backend(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_special_tokens([AddedToken(text, special=True) for text in special])
    return backend


@functools.lru_cache(maxsize=8)
def sentencepiece_json(vocab_size: int = 500) -> str:
    """BPE with byte fallback as converted from SentencePiece (Llama 2)."""
    backend = Backend(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=60,
        max_token_length=12,
        show_progress=False,
    )
    backend.train_from_iterator([word for line in CORPUS for word in line.split()], trainer)
    state = json.loads(backend.to_str())
    state["added_tokens"] = state["added_tokens"][: len(special)]
    backend = Backend.from_str(json.dumps(state))
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return backend.to_str()


def sentencepiece_backend(*, adds_bos: bool = True) -> Backend:
    """The tokenizer of :func:`sentencepiece_json`, with or without a BOS."""
    backend = Backend.from_str(sentencepiece_json())
    if adds_bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
        )
    return backend


def unigram_backend() -> Backend:
    """Unigram with the Metaspace decoder (T5, XGLM)."""
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def word_backend() -> Backend:
    """Whole words without a decoder section."""
    words = ["<unk>", "</s>", "the", "quick", "stop", "fox"]
    model = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>")
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["</s>"])
    return backend


class ByteTokenizer(Tokenizer):
    """256 bytes, then ``<bos>`` (256) and ``<eos>`` (257): the smallest useful tokenizer."""

    def __init__(self) -> None:
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        by_byte = {_byte_of(char): char for char in alphabet}
        backend = Backend(models.BPE({by_byte[byte]: byte for byte in range(256)}, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens(["<bos>", "<eos>"])
        super().__init__(backend, named_tokens={"bos_token": "<bos>", "eos_token": "<eos>"})


def _byte_of(char: str) -> int:
    """The byte that a character of the byte-level alphabet stands for."""
    code = ord(char)
    if code < 0x100:
        return code
    hidden = [*range(0x21), *range(0x7F, 0xA1), 0xAD]
    return hidden[code - 0x100]


def save_model_directory(
    directory: Path, backend: Backend | None, *, config: dict | None = None, **files: object
) -> Path:
    """Write ``tokenizer.json`` and JSON files, ``name="..."`` becoming ``name.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    if backend is not None:
        backend.save(str(directory / "tokenizer.json"))
    if config is not None:
        files["tokenizer_config"] = config
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return directory
