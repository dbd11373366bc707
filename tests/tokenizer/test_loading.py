"""A directory's tokenizer gives the ids of transformers, or one line that says what is wrong."""

import json
import subprocess
import sys

import pytest
from tokenizers import decoders, pre_tokenizers, processors
from transformers import AutoTokenizer

from sglite.errors import ModelLoadError
from sglite.tokenizer import loading
from sglite.tokenizer.loading import load_tokenizer
from tests.fakes_text import (
    byte_level_backend,
    save_model_directory,
    sentencepiece_backend,
    unigram_backend,
)

TEXTS = [
    "",
    " ",
    "Hello world",
    "  two  spaces and\nnew\n\n\tlines ",
    "naïve café 你好 🙂 \u202e",
    "a\x00b",
    "<s>[INST] hi </s> there<s>",
    "<|im_start|>user\nHi<|im_end|>\n",
    "<|begin_of_text|> x",
    "a <|endoftext|> b",
    "e\u0301 Ａ",
    "1234567 don't STOP",
]
LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def save(directory, backend, tokenizer_config, model_type="llama", **files):
    save_model_directory(directory, backend, config=tokenizer_config, **files)
    (directory / "config.json").write_text(json.dumps({"model_type": model_type}))
    return directory


def llama3_backend():
    backend = byte_level_backend(("<|begin_of_text|>", "<|eot_id|>"))
    bos = backend.token_to_id("<|begin_of_text|>")
    backend.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A $B",
                special_tokens=[("<|begin_of_text|>", bos)],
            ),
        ]
    )
    return backend


def added(content, **flags):
    spec = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {**spec, "special": True, **flags, "content": content}


SP_TRUE = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}
CASES = {
    "llama2_class": (sentencepiece_backend, {**LLAMA, **SP_TRUE}, "llama"),
    "llama2_legacy": (sentencepiece_backend, {**LLAMA, **SP_TRUE, "legacy": True}, "llama"),
    "llama2_fast_class": (
        sentencepiece_backend,
        {**LLAMA, "tokenizer_class": "LlamaTokenizerFast", "add_prefix_space": False},
        "llama",
    ),
    "llama2_no_post_processor": (
        lambda: sentencepiece_backend(adds_bos=False),
        {**LLAMA, **SP_TRUE},
        "llama",
    ),
    "llama2_no_bos": (
        sentencepiece_backend,
        {**LLAMA, "tokenizer_class": "LlamaTokenizer", "add_bos_token": False},
        "llama",
    ),
    "mistral": (sentencepiece_backend, {**LLAMA, **SP_TRUE}, "mistral"),
    "plain_fast": (
        sentencepiece_backend,
        {**LLAMA, "tokenizer_class": "PreTrainedTokenizerFast"},
        "llama",
    ),
    "llama3": (
        llama3_backend,
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|eot_id|>",
        },
        "llama",
    ),
    "qwen": (
        lambda: byte_level_backend(QWEN_SPECIAL),
        {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "bos_token": None},
        "qwen3",
    ),
    "added_in_config": (
        lambda: byte_level_backend(QWEN_SPECIAL[:1]),
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "added_tokens_decoder": {
                "599": added("<|endoftext|>", lstrip=True, rstrip=True),
                "601": added("<|im_end|>"),
                "600": added("<|im_start|>", lstrip=True),
                "602": added("Hello", special=False, normalized=True),
            },
            "additional_special_tokens": ["don't"],
        },
        "llama",
    ),
    "unigram": (unigram_backend, {"eos_token": "</s>", "unk_token": "<unk>"}, "t5_unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_ids_equal_those_of_transformers(case, tmp_path):
    make_backend, config, model_type = CASES[case]
    directory = save(tmp_path / "model", make_backend(), config, model_type)
    reference = AutoTokenizer.from_pretrained(str(directory))
    tokenizer = load_tokenizer(directory)
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids == reference(text).input_ids, text
        plain = tokenizer.encode(text, add_special_tokens=False)
        assert plain == reference(text, add_special_tokens=False).input_ids, text
        for skips in (False, True):
            expected = reference.decode(ids, skip_special_tokens=skips)
            assert tokenizer.decode(ids, skip_special_tokens=skips) == expected
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode(text) for text in TEXTS]
    assert tokenizer.bos_token_id == reference.bos_token_id
    assert reference.eos_token_id in tokenizer.eos_token_ids
    assert tokenizer.vocab_size == len(reference)


def test_bos_comes_from_the_post_processor(tmp_path):
    directory = save(tmp_path, sentencepiece_backend(), LLAMA)
    tokenizer = load_tokenizer(directory)
    assert tokenizer.encode("the")[0] == tokenizer.bos_token_id == 1
    assert 1 not in tokenizer.encode("the", add_special_tokens=False)


def test_special_tokens_map_of_transformers_4_is_read(tmp_path):
    tokens = {"eos_token": {"content": "<|im_end|>", "lstrip": False}, "bos_token": "<|im_start|>"}
    directory = save(
        tmp_path, byte_level_backend(QWEN_SPECIAL), {"eos_token": "x"}, special_tokens_map=tokens
    )
    tokenizer = load_tokenizer(directory)
    reference = AutoTokenizer.from_pretrained(str(directory))
    assert tokenizer.eos_token_ids == {reference.eos_token_id}
    assert tokenizer.bos_token_id == reference.bos_token_id


def test_eos_ids_of_the_model_join_the_tokenizers(tmp_path):
    directory = save(
        tmp_path,
        byte_level_backend(QWEN_SPECIAL),
        {"eos_token": "<|im_end|>"},
        generation_config={"eos_token_id": [3, 5]},
    )
    tokenizer = load_tokenizer(directory)
    assert tokenizer.eos_token_ids == {3, 5, tokenizer.vocab_size - 1}


def test_older_vocabulary_files_are_converted_by_transformers(tmp_path):
    backend = byte_level_backend()
    backend.model.save(str(tmp_path))
    save(tmp_path, None, {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"}, "qwen3")
    tokenizer = load_tokenizer(tmp_path)
    reference = AutoTokenizer.from_pretrained(str(tmp_path))
    for text in TEXTS:
        assert tokenizer.encode(text) == reference(text).input_ids
    assert tokenizer.eos_token_ids == {reference.eos_token_id}


def test_start_up_does_not_import_transformers_or_torch(tmp_path):
    directory = save(
        tmp_path, byte_level_backend(QWEN_SPECIAL), {"chat_template": "{{ messages[0].content }}"}
    )
    code = (
        "import sys; from sglite.tokenizer import load_tokenizer; "
        f"t = load_tokenizer({str(directory)!r}); "
        "t.encode_chat([{'role': 'user', 'content': 'hi'}]); "
        "print(sorted({'transformers', 'torch'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# ------------------------------------------------------------------------------- bad directories


def refused(directory, message, **options):
    with pytest.raises(ModelLoadError, match=message) as info:
        load_tokenizer(directory, **options)
    assert "\n" not in str(info.value)


def test_directory_without_a_tokenizer_is_refused(tmp_path):
    refused(save(tmp_path, None, {}), r"no tokenizer \(no tokenizer.json.*--tokenizer-path")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": {"type": "Nope"}}', "\x00"])
def test_broken_tokenizer_json_is_refused(tmp_path, content):
    (tmp_path / "tokenizer.json").write_text(content)
    refused(tmp_path, r"tokenizer.json: not a tokenizer")


def test_code_of_the_repository_is_refused(tmp_path):
    save(tmp_path, byte_level_backend(), {"auto_map": {"AutoTokenizer": ["x.Y", None]}})
    refused(tmp_path, "tokenizer_config.json: auto_map")


def test_code_of_the_repository_is_refused_where_transformers_would_load(tmp_path):
    save_model_directory(tmp_path, None, config={"model_type": "x"})
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "x.Y"}}))
    refused(tmp_path, r"config.json: auto_map")


def test_unusable_vocabulary_files_are_refused(tmp_path):
    save(tmp_path, None, {"tokenizer_class": "LlamaTokenizer"})
    (tmp_path / "tokenizer.model").write_bytes(b"garbage")
    refused(tmp_path, "no tokenizer can be made of it")


def test_vocabulary_wider_than_the_logits_is_refused(tmp_path):
    directory = save(tmp_path, byte_level_backend(QWEN_SPECIAL), {})
    width = load_tokenizer(directory).vocab_size
    assert load_tokenizer(directory, vocab_size=width).vocab_size == width
    refused(directory, f"ids up to {width - 1}.*{width - 1} wide", vocab_size=width - 1)


def test_decoder_that_cannot_stream_is_refused(tmp_path):
    backend = byte_level_backend()
    backend.decoder = decoders.BPEDecoder()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    refused(save(tmp_path, backend, {}), "decoder .*BPEDecoder.* not supported")


def test_broken_chat_template_is_refused_at_start_up(tmp_path):
    save(tmp_path, byte_level_backend(), {"chat_template": "{% for %}"})
    refused(tmp_path, r"not valid Jinja.*--chat-template")


# -------------------------------------------------------------------------------- chat templates

CHAT = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("layout", ["list", "files"])
def test_tools_choose_the_template_for_tools(tmp_path, layout):
    templates = {"default": "plain", "tool_use": "with tools"}
    if layout == "list":
        entries = [{"name": name, "template": text} for name, text in templates.items()]
        save(tmp_path, byte_level_backend(), {"chat_template": entries})
    else:
        save(tmp_path, byte_level_backend(), {})
        (tmp_path / "chat_template.jinja").write_text("plain")
        (tmp_path / "additional_chat_templates").mkdir()
        (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text("with tools")
    tokenizer = load_tokenizer(tmp_path)
    reference = AutoTokenizer.from_pretrained(str(tmp_path))
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert tokenizer.render_chat(CHAT) == reference.apply_chat_template(CHAT, tokenize=False)
    assert tokenizer.render_chat(CHAT, tools=tools) == reference.apply_chat_template(
        CHAT, tools=tools, tokenize=False
    )


def test_transformers_builds_the_tokenizer_where_asked(tmp_path, monkeypatch):
    directory = save_model_directory(tmp_path, byte_level_backend())
    calls = []
    convert = loading._convert_with_transformers
    monkeypatch.setattr(
        loading,
        "_convert_with_transformers",
        lambda *arguments: calls.append(arguments) or convert(*arguments),
    )
    text = "Größe 12, naïve 你好"
    fast = load_tokenizer(directory)
    assert not calls
    slow = load_tokenizer(directory, use_transformers=True)
    assert len(calls) == 1
    assert slow.encode(text) == fast.encode(text) and slow.decode(fast.encode(text)) == text
