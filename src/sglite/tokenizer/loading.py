"""From a model directory to a :class:`Tokenizer`.

``tokenizer.json`` is read by the `tokenizers` library alone; transformers, slow to import, only
converts directories that have none. No code of a model's repository is ever run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sglite.errors import ModelLoadError
from sglite.tokenizer.files import TokenizerFiles, read_tokenizer_files
from sglite.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

    from sglite.tokenizer.chat_template import ChatTemplate

OTHER_VOCABULARIES = (
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tiktoken.model",
    "tekken.json",
    "sentencepiece.bpe.model",
)
"""Files from which transformers can make a tokenizer where there is no ``tokenizer.json``."""

MISTRAL_TYPES = ("mistral", "ministral", "mixtral", "pixtral", "voxtral")


def load_tokenizer(
    path: str | Path,
    *,
    vocab_size: int | None = None,
    chat_template_file: str | None = None,
    use_transformers: bool = False,
) -> Tokenizer:
    """Load the tokenizer of the model directory ``path``.

    ``vocab_size`` is the width of the model's logits: a vocabulary that is larger is refused.
    ``chat_template_file`` replaces the directory's chat templates. ``use_transformers`` lets
    transformers build the tokenizer even where there is a tokenizer.json. Raises
    ModelLoadError naming the file and the cause.
    """
    directory = Path(path)
    files = read_tokenizer_files(directory, chat_template_file)
    backend = _load_backend(directory, files, use_transformers=use_transformers)
    backend.no_truncation()
    backend.no_padding()
    tokenizer = Tokenizer(
        backend,
        named_tokens={name: spec["content"] for name, spec in files.named_tokens.items()},
        templates=_compile_templates(directory, files.templates),
        eos_token_ids=files.eos_token_ids,
    )
    if vocab_size is not None and tokenizer.vocab_size > vocab_size:
        raise ModelLoadError(
            f"{directory}: the tokenizer has ids up to {tokenizer.vocab_size - 1}, but the model's "
            f"logits are {vocab_size} wide (vocab_size of config.json); they do not belong together"
        )
    return tokenizer


def _compile_templates(directory: Path, sources: dict[str, str]) -> dict[str, ChatTemplate]:
    """Compile at start-up: a broken template is the model's fault and not a request's."""
    if not sources:
        return {}
    from sglite.tokenizer.chat_template import ChatTemplate

    try:
        return {name: ChatTemplate(source) for name, source in sources.items()}
    except ModelLoadError as error:
        raise ModelLoadError(
            f"{directory}: {error}; another one can be given with --chat-template FILE"
        ) from error


def _load_backend(directory: Path, files: TokenizerFiles, *, use_transformers: bool) -> Backend:
    path = directory / "tokenizer.json"
    if use_transformers or not path.is_file():
        return _convert_with_transformers(directory, files)
    backend = _read_tokenizer_json(path)
    _follow_llama_class(backend, files)
    _add_tokens(backend, files)
    return backend


def _read_tokenizer_json(path: Path) -> Backend:
    from tokenizers import Tokenizer as Backend

    try:
        return Backend.from_file(str(path))
    # The library raises bare Exceptions.
    except Exception as error:
        raise ModelLoadError(f"{path}: not a tokenizer ({str(error)[:200]})") from error


def _follow_llama_class(backend: Backend, files: TokenizerFiles) -> None:
    """Split text as transformers' ``LlamaTokenizer`` does, where the directory names that class.

    Its tokenizer.json puts a space before every part between special tokens, SentencePiece only
    before the first one; transformers follows the latter unless ``legacy`` is set.
    """
    class_name = str(files.config.get("tokenizer_class", "")).removesuffix("Fast")
    is_mistral = files.model_type.startswith(MISTRAL_TYPES)
    if class_name != "LlamaTokenizer" or is_mistral or _is_byte_level(backend):
        return
    from tokenizers import decoders, pre_tokenizers

    add_prefix_space = files.config.get("add_prefix_space")
    has_prefix = True if add_prefix_space is None else bool(add_prefix_space)
    scheme = "always" if files.config.get("legacy", False) else "first"
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement="▁", prepend_scheme=scheme if has_prefix else "never", split=False
    )
    stages = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if has_prefix:
        stages.append(decoders.Strip(content=" ", left=1))
    backend.decoder = decoders.Sequence(stages)


def _is_byte_level(backend: Backend) -> bool:
    parts = (backend.pre_tokenizer, backend.decoder)
    return any(part is not None and "ByteLevel" in repr(part) for part in parts)


def _add_tokens(backend: Backend, files: TokenizerFiles) -> None:
    """Add the tokens that tokenizer.json lacks, as transformers does.

    Entries of ``added_tokens_decoder`` also change the flags of a token that is there.
    """
    from tokenizers import AddedToken

    known = {token.content: repr(token) for token in backend.get_added_tokens_decoder().values()}
    for spec in files.added_tokens:
        token = AddedToken(**spec)
        if known.get(token.content) != repr(token):
            backend.add_tokens([token])
            known[token.content] = repr(token)
    named = (AddedToken(**spec) for spec in files.named_tokens.values())
    backend.add_special_tokens([token for token in named if token.content not in known])


def _convert_with_transformers(directory: Path, files: TokenizerFiles) -> Backend:
    """Let transformers build the tokenizer from older files."""
    if not any((directory / name).is_file() for name in ("tokenizer.json", *OTHER_VOCABULARIES)):
        raise ModelLoadError(
            f"{directory}: no tokenizer (no tokenizer.json, {', '.join(OTHER_VOCABULARIES)}); "
            "give one with --tokenizer-path, or work with token ids: --skip-tokenizer-init"
        )
    if files.has_remote_model:
        raise ModelLoadError(
            f"{directory / 'config.json'}: auto_map names Python code of the model's repository, "
            "which sglite never runs; use a directory with a plain tokenizer.json"
        )
    converted = _auto_tokenizer(directory)
    backend: Backend | None = getattr(converted, "backend_tokenizer", None)
    if backend is None:
        raise ModelLoadError(
            f"{directory}: {type(converted).__name__} of transformers is written in Python and "
            "cannot stream; convert it to a tokenizer.json"
        )
    for name, content in converted.special_tokens_map.items():
        if isinstance(content, str):
            files.named_tokens.setdefault(name, {"content": content, "special": True})
    return backend


def _auto_tokenizer(directory: Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ModelLoadError(
            f"{directory}: no tokenizer.json, and transformers, which could make one, is missing"
        ) from error
    try:
        return AutoTokenizer.from_pretrained(
            str(directory), trust_remote_code=False, local_files_only=True
        )
    except (ImportError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ModelLoadError(f"{directory}: no tokenizer can be made of it ({cause})") from error
