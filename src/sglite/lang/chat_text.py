"""The text of a conversation, message by message, exactly as the model's chat template writes it.

A template renders whole conversations, and a program appends to one. So each message is rendered
with a mark in the place of its content: what stands before the mark begins it, what stands behind
the mark ends it. Text that is there is not rendered again, so that the prefix stays in the cache;
what a template changes in earlier messages (Qwen3 drops the thoughts of earlier turns) stays as it
was said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sglite.errors import RequestError

Message = dict[str, Any]
Render = Callable[[list[Message], bool], str]
"""The prompt of messages; True adds what begins an answer."""

MARK = "<sglite-message>"


class ChatText:
    """A growing conversation. ``render`` is the model's chat template.

    ``text`` is all of it, with what stands outside of messages; ``messages`` are those that have
    ended; ``role`` is that of the open one. ``is_rendered``: the template has written some of the
    text, and so it says where a BOS belongs.
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        self.text = ""
        self.messages: list[Message] = []
        self.role: str | None = None
        self.is_rendered = False
        self._content_start = 0
        self._content_end = 0
        self._ending = ""

    def copy(self) -> ChatText:
        """The same conversation, to be continued otherwise."""
        twin = ChatText(self._render)
        twin.__dict__.update(self.__dict__)
        twin.messages = list(self.messages)
        return twin

    def begin(self, role: str) -> None:
        """Open a message. Raises RequestError inside of one, or where the template refuses it."""
        if self.role is not None:
            raise RequestError(f"a message of {role} cannot begin inside of one of {self.role}")
        marked = list(self.messages)
        if marked:
            marked[-1] = {**marked[-1], "content": MARK}
        if role == "assistant":
            rendered = self._render(marked, True)
        else:
            rendered = self._render([*marked, {"role": role, "content": MARK}], False)
            rendered, _ = self._split(rendered, role)
        between = self._split(rendered, self.messages[-1]["role"])[1] if marked else rendered
        self._append(between)
        self.role = role
        self.is_rendered = True
        self._content_start = len(self.text)

    def end(self, role: str) -> None:
        """Close the message. Raises RequestError where no message of ``role`` is open."""
        if self.role != role:
            raise RequestError(f"the message of {role} ends, but {self.role or 'none'} is open")
        marked = [*self.messages, {"role": role, "content": MARK}]
        _, self._ending = self._split(self._render(marked, False), role)
        self._content_end = len(self.text)
        self.messages.append({"role": role, "content": self.text[self._content_start :]})
        self.text += self._ending
        self.role = None

    def _append(self, between: str) -> None:
        """Add what stands between the last message's content and the next one's.

        Its beginning, the last message's ending, is there already. Where the template writes
        another one before a next message, that one takes its place.
        """
        if between.startswith(self._ending):
            self.text += between[len(self._ending) :]
            return
        outside = self.text[self._content_end + len(self._ending) :]
        self.text = self.text[: self._content_end] + outside + between

    @staticmethod
    def _split(rendered: str, role: str) -> tuple[str, str]:
        """What stands before and behind the last mark."""
        before, mark, behind = rendered.rpartition(MARK)
        if not mark:
            raise RequestError(
                f"the model's chat template does not show a last message of {role} as it is; "
                "put its text into the next message",
                param="messages",
            )
        return before, behind
