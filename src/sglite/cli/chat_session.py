"""One conversation: its messages, its commands, and the answers as they come."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sglite.cli.asking import Message
from sglite.cli.interrupt import Interrupt, catch_interrupt
from sglite.cli.output import is_complete, say, summary, write_answer, write_pieces
from sglite.config_fields import nearest
from sglite.errors import CapacityError, RemoteError, RequestError

if TYPE_CHECKING:
    from sglite.call_options import Sampling
    from sglite.client.remote_llm import RemoteLLM
    from sglite.generation import Generation, GenerationChunk
    from sglite.llm import LLM

SYNONYMS = {"/quit": "/exit"}


class ChatSession:
    """A conversation with one model. ``messages`` always ends with an answer, or is just a system
    message: a question that could not be answered is taken back.
    """

    def __init__(
        self, llm: LLM | RemoteLLM, sampling: Sampling, *, system: str | None = None
    ) -> None:
        self.llm = llm
        self.sampling = sampling
        self.system = system
        self.is_over = False
        self.messages: list[Message] = []
        self.last: Generation | None = None
        self._saved: set[Path] = set()
        self.commands: dict[str, tuple[Callable[[str], None], str]] = {
            "/reset": (self.forget, "forget the conversation"),
            "/system": (self.set_system, "TEXT: start anew with this system message"),
            "/retry": (self.retry, "answer the last question again"),
            "/save": (self.save, "FILE: write the conversation as JSON"),
            "/stats": (self.show_stats, "figures of the last answer and of the engine"),
            "/help": (self.show_help, "this list"),
            "/exit": (self.leave, "leave (so do /quit and Ctrl-D)"),
        }
        self._reset()

    def handle(self, line: str) -> None:
        """Obey a command, answer anything else; an empty line does nothing."""
        line = line.strip()
        if not line:
            return
        if not line.startswith("/"):
            self.ask(line)
            return
        name, _, rest = line.partition(" ")
        wanted = SYNONYMS.get(name.lower(), name.lower())
        if wanted in self.commands:
            self.commands[wanted][0](rest.strip())
            return
        close = nearest(wanted, self.commands)
        say(f"{name} is not a command" + (f"; the nearest one is {close}" if close else ""))

    def ask(self, question: str) -> None:
        """Answer and remember; where the engine refuses, say why and take the question back."""
        self.messages.append({"role": "user", "content": question})
        try:
            answer = self._stream_answer()
        except (RequestError, CapacityError, RemoteError) as error:
            say(f"{error} (/reset forgets the conversation)")
            self.messages.pop()
            return
        except BaseException:
            self.messages.pop()
            raise
        self.messages.append({"role": "assistant", "content": answer})

    def _stream_answer(self) -> str:
        """Print the answer as it comes and return it, up to where Ctrl-C stopped it."""
        stream: Any = self.llm.chat_stream(self.messages, self.sampling)
        with contextlib.closing(stream), catch_interrupt() as interrupt:
            answer, self.last = write_pieces(
                _until_interrupted(stream, interrupt), log_level=self.llm.config.log_level
            )
        write_answer("\n")
        if interrupt.is_set:
            say("(stopped)")
        elif self.last is not None and not is_complete(self.last):
            say(f"(the answer ended early: {self.last.finish_reason.value})")
        return answer

    def forget(self, _: str) -> None:
        """Forget all but the system message."""
        self._reset()
        say("(conversation forgotten)")

    def _reset(self) -> None:
        self.messages = [{"role": "system", "content": self.system}] if self.system else []
        self.last = None

    def set_system(self, text: str) -> None:
        """Start anew with another system message, with none where ``text`` is empty."""
        self.system = text or None
        self._reset()
        say(f"(new conversation, system message {'set' if text else 'removed'})")

    def retry(self, _: str) -> None:
        """Answer the last question again."""
        if not self.messages or self.messages[-1]["role"] != "assistant":
            say("(nothing to retry)")
            return
        answer = self.messages.pop()
        question = self.messages.pop()
        before = len(self.messages)
        try:
            self.ask(question["content"])
        finally:
            if len(self.messages) == before:
                self.messages += [question, answer]

    def save(self, name: str) -> None:
        """Write the conversation to a new file, or to one that this session wrote."""
        path = Path(name).expanduser()
        if not name:
            say("/save FILE")
            return
        if path.exists() and path.resolve() not in self._saved:
            say(f"{path} exists; give another name")
            return
        model = self.llm.config.model_path or "embedded"
        document = {"model": model, "messages": self.messages}
        try:
            path.write_text(json.dumps(document, indent=2, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            say(f"{path}: {error.strerror or error}")
            return
        self._saved.add(path.resolve())
        say(f"(saved {len(self.messages)} messages to {path})")

    def show_stats(self, _: str) -> None:
        """Print figures of the last answer and of the engine."""
        if self.last is not None:
            say(summary(self.last))
        stats: dict[str, Any] = self.llm.stats()
        width = max((len(name) for name in stats), default=0)
        for name, value in stats.items():
            say(f"  {name:<{width}}  {value:>12,}")

    def show_help(self, _: str) -> None:
        """List the commands."""
        for name, (_command, text) in self.commands.items():
            say(f"  {name:<9}{text}")

    def leave(self, _: str) -> None:
        """End the chat after this line."""
        self.is_over = True


def _until_interrupted(
    stream: Iterable[GenerationChunk], interrupt: Interrupt
) -> Iterator[GenerationChunk]:
    for chunk in stream:
        yield chunk
        if interrupt.is_set:
            return
