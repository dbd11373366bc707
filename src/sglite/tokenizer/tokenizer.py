"""Text to token ids, ids to text, chats to prompts: one model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sglite.errors import RequestError
from sglite.tokenizer.decoder_factory import DecoderFactory
from sglite.tokenizer.decoders import PieceDecoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend

    from sglite.tokenizer.chat_template import ChatTemplate, PlannedChat

MAX_TOKEN_ID = 2**32 - 1


class Tokenizer:
    """A `tokenizers` tokenizer, its special tokens and its chat templates.

    ``named_tokens`` maps names such as ``bos_token`` to their text; templates may use them.
    ``eos_token_ids`` are the model's, beyond the tokenizer's own ``eos_token``. ``templates`` maps
    names to chat templates; the one named ``tool_use`` serves chats with tools.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        named_tokens: Mapping[str, str] | None = None,
        templates: Mapping[str, ChatTemplate] | None = None,
        eos_token_ids: Iterable[int] = (),
    ) -> None:
        self._backend = backend
        self._named_tokens = dict(named_tokens or {})
        self._templates = dict(templates or {})
        self._decoder_factory = DecoderFactory(_decoder_spec(backend))
        added = backend.get_added_tokens_decoder()
        self.special_token_ids = frozenset(i for i, token in added.items() if token.special)
        """Ids that ``skip_special_tokens`` leaves out of the text."""
        self.vocab_size = _num_ids(backend, max(added, default=-1))
        """One more than the largest token id."""
        self.bos_token_id = self._id_of("bos_token")
        """Id of the beginning-of-sequence token, None where there is none."""
        eos_token_id = self._id_of("eos_token")
        own_eos = () if eos_token_id is None else (eos_token_id,)
        self.eos_token_ids = frozenset((*own_eos, *eos_token_ids))
        """Ids that end an answer."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Token ids of ``text``, the same as ``transformers.AutoTokenizer(...)(text).input_ids``.

        ``add_special_tokens`` lets the tokenizer add its BOS or EOS. A NUL is an ordinary
        character. Raises RequestError where the text is not valid Unicode.
        """
        self._check_text(text, "text")
        return list(self._backend.encode(text, add_special_tokens=add_special_tokens).ids)

    def encode_batch(
        self, texts: Sequence[str], *, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """Token ids of each text; the library uses all cores."""
        for index, text in enumerate(texts):
            self._check_text(text, f"text[{index}]")
        encodings = self._backend.encode_batch_fast(
            list(texts), add_special_tokens=add_special_tokens
        )
        return [list(encoding.ids) for encoding in encodings]

    def decode(
        self,
        token_ids: Iterable[int],
        *,
        skip_special_tokens: bool = True,
        spaces_between_special_tokens: bool = True,
    ) -> str:
        """Text of ``token_ids``; an id that is in no vocabulary has no text.

        ``spaces_between_special_tokens`` is accepted for compatibility: it had a meaning for the
        Python tokenizers of transformers 4 only.
        """
        decoder = self.make_decoder()
        skipped = self.special_token_ids if skip_special_tokens else frozenset()
        pieces = (self.token(i) for i in token_ids if i not in skipped)
        parts = [decoder.push(piece) for piece in pieces if piece is not None]
        return "".join(parts) + decoder.finish()

    def make_decoder(self) -> PieceDecoder:
        """A streaming decoder for one text."""
        return self._decoder_factory.make()

    def token(self, token_id: int) -> str | None:
        """The vocabulary's own spelling of a token, None for an id that is in no vocabulary."""
        if not 0 <= token_id <= MAX_TOKEN_ID:
            return None
        return self._backend.id_to_token(token_id)

    def piece(self, token_id: int) -> str:
        """Text of one token as it stands within a text; half a character is U+FFFD."""
        return self.piece_bytes(token_id).decode("utf-8", errors="replace")

    def piece_bytes(self, token_id: int) -> bytes:
        """Bytes of one token as it stands within a text; special tokens are shown."""
        token = self.token(token_id)
        return b"" if token is None else self._decoder_factory.piece_bytes(token)

    @property
    def has_chat_template(self) -> bool:
        """True where chats can be rendered."""
        return "default" in self._templates

    @property
    def chat_template_sources(self) -> dict[str, str]:
        """The chat templates by name."""
        return {name: template.source for name, template in self._templates.items()}

    def plan_chat(
        self,
        messages: Any,
        *,
        tools: Any = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> PlannedChat:
        """A checked chat, ready to be rendered here or elsewhere.

        ``continue_final_message`` lets the model continue the last message instead of answering
        it; no generation prompt is added then. Raises RequestError naming the field.
        """
        from sglite.tokenizer.chat_template import PlannedChat
        from sglite.tokenizer.messages import check_messages, check_template_kwargs, check_tools

        checked_tools = check_tools(tools)
        variables = check_template_kwargs(template_kwargs)
        return PlannedChat(
            template=self._template_name(has_tools=checked_tools is not None),
            messages=check_messages(messages),
            tools=checked_tools,
            add_generation_prompt=add_generation_prompt and not continue_final_message,
            continue_final_message=continue_final_message,
            variables={**self._named_tokens, **variables},
        )

    def render_chat(self, messages: Any, **options: Any) -> str:
        """The prompt for a chat, the same as transformers' ``apply_chat_template`` gives.

        Options are those of :meth:`plan_chat`. Raises RequestError naming the field.
        """
        return self.render_planned(self.plan_chat(messages, **options))

    def render_planned(self, chat: PlannedChat) -> str:
        """The prompt for a planned chat. Raises RequestError."""
        return self._templates[chat.template].render(chat)

    def encode_chat(self, messages: Any, **options: Any) -> list[int]:
        """Token ids of :meth:`render_chat`."""
        return self.encode_rendered(self.render_chat(messages, **options))

    def encode_rendered(self, prompt: str) -> list[int]:
        """Token ids of a rendered chat; the template, not the tokenizer, adds the BOS."""
        self._check_text(prompt, "messages")
        return list(self._backend.encode(prompt, add_special_tokens=False).ids)

    def _template_name(self, *, has_tools: bool) -> str:
        name = "tool_use" if has_tools and "tool_use" in self._templates else "default"
        if name not in self._templates:
            raise RequestError(
                "this model has no chat template: send a plain prompt, or start with "
                "--chat-template FILE",
                param="messages",
            )
        return name

    def _id_of(self, name: str) -> int | None:
        content = self._named_tokens.get(name)
        return None if content is None else self._backend.token_to_id(content)

    @staticmethod
    def _check_text(text: Any, param: str) -> None:
        """Refuse what UTF-8 cannot express: lone surrogates."""
        if not isinstance(text, str):
            raise RequestError(f"{param} must be a string, not {type(text).__name__}", param=param)
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                f"{param} holds a lone surrogate at character {error.start}, which is no valid "
                "Unicode; send whole characters",
                param=param,
            ) from error


def tokenizer_json(tokenizer: Tokenizer) -> str:
    """The tokenizer as a ``tokenizer.json``, from which `tokenizers` makes its twin."""
    return str(tokenizer._backend.to_str())


def _decoder_spec(backend: Backend) -> str | None:
    """The ``decoder`` section of a loaded tokenizer, as JSON."""
    decoder = backend.decoder
    return None if decoder is None else decoder.__getstate__().decode("utf-8")


def _num_ids(backend: Backend, largest_added: int) -> int:
    """One more than the largest id, without listing the vocabulary where its ids have no gaps."""
    num_tokens = backend.get_vocab_size(with_added_tokens=True)
    has_gaps = largest_added >= num_tokens or backend.id_to_token(num_tokens - 1) is None
    if num_tokens and has_gaps:
        return max(backend.get_vocab(with_added_tokens=True).values()) + 1
    return num_tokens
