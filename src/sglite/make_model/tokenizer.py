"""A usable tokenizer for random-weight models: byte-level BPE, ChatML, text for every id.

Trained in a moment on common English words and on pseudo-words made of syllables, so it needs no
file. The ids that training leaves over get a pseudo-word each, which no text encodes to but which
a random model may well produce: every output token has text.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sglite.errors import ConfigError
from sglite.make_model.whole_file import write_json

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
NUM_BYTES = 256
MIN_VOCAB_SIZE = NUM_BYTES + len(SPECIAL_TOKENS)
MAX_TRAINED = 4096

SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

WORDS = """
the be to of and a in that have it for not on with he as you do at this but his by from they we say
her she or an will my one all would there their what so up out if about who get which go me when
make can like time no just him know take people into year your good some could them see other than
then now look only come its over think also back after use two how our work first well way even new
want because any these give day most us is are was were been has had said did made where why hello
please tell write story question answer capital city country France Paris number sum plus minus
system user assistant name help thank model token page cache prefix request server engine language
machine computer memory step batch prompt output text word sentence letter line code function return
class value list true false none error message test example water fire earth air light dark house
river mountain sea road book music paper red green blue white black small large long short old young
""".split()

ONSETS = "b br c ch d f fl g h k l m n p r s st t".split()
RHYMES = "a an ar e el en i in is o on or u um".split()


def syllable_words() -> Iterator[str]:
    """Endless pseudo-words, each one once, shorter ones first."""
    syllables = [onset + rhyme for rhyme in RHYMES for onset in ONSETS]
    for length in itertools.count(2):
        for parts in itertools.product(syllables, repeat=length):
            yield "".join(parts)


def check_vocab_size(vocab_size: int) -> None:
    """ConfigError where there is no room for every byte and the special tokens."""
    if vocab_size < MIN_VOCAB_SIZE:
        raise ConfigError(
            f"vocab_size {vocab_size} has no room for {NUM_BYTES} bytes and"
            f" {len(SPECIAL_TOKENS)} special tokens; use at least {MIN_VOCAB_SIZE}"
        )


def write_tokenizer(directory: Path, *, vocab_size: int, max_length: int) -> None:
    """Write tokenizer.json and tokenizer_config.json with exactly ``vocab_size`` ids.

    The three special tokens have the highest ids. ConfigError where there is no room for the bytes.
    """
    check_vocab_size(vocab_size)
    model = _trained_model(min(vocab_size - len(SPECIAL_TOKENS), MAX_TRAINED))
    _fill_vocabulary(model["model"]["vocab"], vocab_size)
    model["added_tokens"] = [
        _special_token(token, vocab_size - len(SPECIAL_TOKENS) + index)
        for index, token in enumerate(SPECIAL_TOKENS)
    ]
    write_json(directory / "tokenizer.json", model, indent=1)
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": max_length,
            "eos_token": TURN_END,
            "pad_token": END_OF_TEXT,
            "additional_special_tokens": [TURN_START],
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
        },
        indent=1,
    )


def _trained_model(num_tokens: int) -> dict[str, Any]:
    """tokenizer.json of a BPE of at most ``num_tokens`` ids, as a table."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(SPLIT_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=num_tokens,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_text(), trainer)
    model: dict[str, Any] = json.loads(tokenizer.to_str())
    return model


def _training_text() -> Iterator[str]:
    for _ in range(8):
        yield " ".join(WORDS) + "\n" + " ".join(word.capitalize() for word in WORDS)
    yield " ".join(itertools.islice(syllable_words(), 8000))


def _fill_vocabulary(vocab: dict[str, int], vocab_size: int) -> None:
    """Give the ids up to the special tokens a word, and the special tokens theirs."""
    words = ("\u0120" + word for word in syllable_words())  # the byte-level form of a leading space
    for word in words:
        if len(vocab) == vocab_size - len(SPECIAL_TOKENS):
            break
        vocab.setdefault(word, len(vocab))
    for token in SPECIAL_TOKENS:
        vocab[token] = len(vocab)


def _special_token(content: str, token_id: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": token_id, "content": content, **flags, "special": True}
