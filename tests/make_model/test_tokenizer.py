import json

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from sglite.errors import ConfigError
from sglite.make_model.tokenizer import MIN_VOCAB_SIZE, SPECIAL_TOKENS, write_tokenizer


def write(directory, vocab_size=2000):
    write_tokenizer(directory, vocab_size=vocab_size, max_length=512)
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


@pytest.mark.parametrize("vocab_size", [MIN_VOCAB_SIZE, 2000, 20_000])
def test_every_id_has_text_and_none_is_beyond_the_vocabulary(tmp_path, vocab_size):
    tokenizer = write(tmp_path, vocab_size)
    assert tokenizer.get_vocab_size() == vocab_size
    assert sorted(tokenizer.get_vocab().values()) == list(range(vocab_size))
    special_ids = [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS]
    assert special_ids == [vocab_size - 3, vocab_size - 2, vocab_size - 1]
    for token_id in range(vocab_size):
        assert tokenizer.decode([token_id], skip_special_tokens=False)


def test_any_text_survives_the_round_trip(tmp_path):
    tokenizer = write(tmp_path)
    for text in ("Hello, world!", "naïve 東京 🙂\n\ttabs", "  two  spaces", "x=1\r\n", "\x00\x7f"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_common_words_are_few_tokens(tmp_path):
    tokenizer = write(tmp_path)
    assert len(tokenizer.encode("the capital of the country").ids) <= 6


def test_the_same_call_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_transformers_renders_the_chat_template(tmp_path):
    write(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    messages = [{"role": "user", "content": "Hi"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.eos_token_id == 1999
    assert tokenizer(text).input_ids[0] == 1998
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 512


def test_a_vocabulary_without_room_for_bytes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="use at least 259"):
        write(tmp_path, MIN_VOCAB_SIZE - 1)
