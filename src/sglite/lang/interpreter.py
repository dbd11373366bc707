"""Carries out what is appended to a state, in order, while the program goes on.

A thread works as long as there is something to do, and ends then: an idle state costs nothing and
needs no closing. The first failure ends the work: everything that waits for a variable, the text or
the end gets the exception, and so does everything that comes later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from sglite.lang.backend import Backend, Prompt, decide
from sglite.lang.chat_text import ChatText
from sglite.lang.expressions import (
    Expression,
    Gen,
    Joined,
    RoleBegin,
    RoleEnd,
    ScopeBegin,
    ScopeEnd,
    Select,
    Text,
)

MAX_PENDING = 1024
"""Most expressions that wait; a program that appends more waits as well."""

Value = Any
"""A text, with ``n`` a list of texts, or what a program put there itself."""


class Slot:
    """A variable: its value, ``meta_info``, and whether it is final. Guarded by its interpreter.

    With ``n`` both are lists.
    """

    def __init__(self, value: Value = "", *, is_done: bool = False) -> None:
        self.value = value
        self.meta_info: Any = None
        self.is_done = is_done


Slots = dict[str, Slot]


class Interpreter:
    """One state's text and variables.

    ``defaults`` are sampling parameters for what ``gen`` does not say, ``default_options`` the
    same for what is told of answers. ``is_streaming``: text appears as the model says it.
    """

    def __init__(
        self,
        backend: Backend,
        defaults: dict[str, Any],
        default_options: dict[str, Any],
        *,
        is_streaming: bool,
    ) -> None:
        self._backend = backend
        self._defaults = defaults
        self._default_options = default_options
        self._is_streaming = is_streaming
        self._chat = ChatText(backend.render)
        self._slots: Slots = {}
        self._changed = threading.Condition()
        self._pending: deque[tuple[Expression, Slots]] = deque()
        self._is_working = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._forks: list[Interpreter] = []
        self._scopes: dict[str, tuple[Slot, int]] = {}
        self._submitter: int | None = None
        self.fork_start = 0
        """Characters of the text that were there before the fork."""

    # -- for programs ------------------------------------------------------------------------------

    def submit(self, expression: Expression) -> None:
        """Have it carried out after all that came before; its variables can be waited for."""
        slots = {name: Slot() for name in expression.names}
        with self._changed:
            self._submitter = threading.get_ident()
            self._changed.wait_for(lambda: self._error or len(self._pending) < MAX_PENDING)
            self._slots |= slots
            if self._error is not None:
                return
            self._pending.append((expression, slots))
            if not self._is_working:
                self._is_working = True
                threading.Thread(target=self._work, name="lang", daemon=True).start()

    def set(self, name: str, value: Value) -> None:
        """Make ``value`` a variable, after all that came before."""
        self.sync()
        with self._changed:
            self._slots[name] = Slot(value, is_done=True)

    def has(self, name: str) -> bool:
        """True where the variable was announced, also while its value is still to come."""
        with self._changed:
            return name in self._slots

    def read(self, name: str) -> Slot:
        """The finished variable. Raises KeyError for one that is not coming, or the failure."""
        with self._changed:
            slot = self._slot(name)
            self._changed.wait_for(lambda: slot.is_done or self._is_over())
            self._raise_unless(slot.is_done)
            if not slot.is_done:
                raise KeyError(f"variable {name!r} has begun, but it has not ended")
            return slot

    def sync(self) -> None:
        """Wait until everything was carried out. Raises the failure."""
        with self._changed:
            self._changed.wait_for(self._is_idle)
            self._raise_unless(False)

    def chat(self) -> ChatText:
        """A copy of text and messages once everything was carried out. Raises the failure."""
        self.sync()
        return self._chat.copy()

    def error(self) -> BaseException | None:
        """The failure, once everything was carried out; None where there was none."""
        with self._changed:
            self._changed.wait_for(self._is_idle)
            return self._error

    def pieces(self, name: str | None) -> Iterator[str]:
        """The text, or that of a variable, as it comes. Raises KeyError or the failure."""
        num_told = 0
        while piece := self._next_piece(name, num_told):
            yield piece
            num_told += len(piece)

    def fork(self) -> Interpreter:
        """Another one that begins with all that is here. Waits for it; raises the failure."""
        self.sync()
        child = Interpreter(
            self._backend, self._defaults, self._default_options, is_streaming=self._is_streaming
        )
        with self._changed:
            child._chat = self._chat.copy()
            child._slots = {name: slot for name, slot in self._slots.items() if slot.is_done}
            child.fork_start = len(self._chat.text)
            child._is_closed = self._is_closed
            self._forks.append(child)
        return child

    def values(self) -> dict[str, Value]:
        """All variables. Waits for them; raises the failure."""
        self.sync()
        with self._changed:
            return {name: slot.value for name, slot in self._slots.items()}

    def fail(self, error: BaseException) -> None:
        """End the work with ``error``; the first one stands."""
        with self._changed:
            self._error = self._error or error
            self._pending.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will be submitted: iterations over the text end where it does."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            forks = list(self._forks)
        for child in forks:
            child.close()

    # -- waiting -----------------------------------------------------------------------------------

    def _is_idle(self) -> bool:
        return self._error is not None or not self._is_working

    def _slot(self, name: str) -> Slot:
        if name not in self._slots:
            known = ", ".join(self._slots) or "none"
            raise KeyError(f"no variable {name!r}; there are: {known}")
        return self._slots[name]

    def _raise_unless(self, is_well: bool) -> None:
        if self._error is not None and not is_well:
            raise self._error

    def _is_over(self) -> bool:
        """True where nothing more will come: not from the thread that waits here, if it is the
        program's own, and from no other once the program has ended.
        """
        if self._error is not None:
            return True
        is_own = self._submitter == threading.get_ident()
        return not self._is_working and (self._is_closed or is_own)

    def _told(self, name: str | None) -> tuple[str, bool]:
        """The text, or that of a variable, so far; and whether it is a finished variable's."""
        if name is None:
            return self._chat.text, False
        slot = self._slots.get(name)
        if slot is None:
            return "", False
        text = slot.value[0] if isinstance(slot.value, list) else slot.value
        return str(text), slot.is_done

    def _has_news(self, name: str | None, num_told: int) -> bool:
        text, is_final = self._told(name)
        return len(text) > num_told or is_final or self._is_over()

    def _next_piece(self, name: str | None, num_told: int) -> str:
        """What came after ``num_told`` characters; "" at the end. Raises as :meth:`pieces`."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_news(name, num_told))
            text, is_final = self._told(name)
            if len(text) <= num_told:
                self._raise_unless(is_final)
                if name is not None:
                    self._slot(name)
            return text[num_told:]

    # -- working -----------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._pending:
                    self._is_working = False
                    self._changed.notify_all()
                    return
                expression, slots = self._pending.popleft()
                self._changed.notify_all()
            try:
                self._execute(expression, slots)
            except Exception as error:  # noqa: BLE001  handed to whoever reads
                self.fail(error)

    def _execute(self, expression: Expression, slots: Slots) -> None:
        match expression:
            case Joined():
                for part in expression.parts:
                    self._execute(part, slots)
            case Text():
                self._append(expression.text)
            case Gen():
                self._generate(expression, _slot_of(expression.name, slots))
            case Select():
                self._select(expression, _slot_of(expression.name, slots))
            case RoleBegin():
                self._change(lambda: self._chat.begin(expression.role))
            case RoleEnd():
                self._change(lambda: self._chat.end(expression.role))
            case ScopeBegin():
                self._scopes[expression.name] = slots[expression.name], len(self._chat.text)
            case ScopeEnd():
                slot, start = self._scopes.pop(expression.name)
                self._finish(slot, self._chat.text[start:], None)
            case _:
                raise TypeError(f"cannot carry out a {type(expression).__name__}")

    def _change(self, change: Callable[[], None]) -> None:
        """Alter the text. Nobody else does, so a slow template need not hold the lock."""
        change()
        with self._changed:
            self._changed.notify_all()

    def _append(self, text: str, slot: Slot | None = None) -> None:
        with self._changed:
            self._chat.text += text
            if slot is not None:
                slot.value += text
            self._changed.notify_all()

    def _finish(self, slot: Slot, value: Value, meta_info: Any) -> None:
        with self._changed:
            slot.value, slot.meta_info, slot.is_done = value, meta_info, True
            self._changed.notify_all()

    def _prompt(self) -> Prompt:
        return Prompt(self._chat.text, self._chat.is_rendered)

    def _generate(self, wanted: Gen, slot: Slot) -> None:
        sampling = self._defaults | wanted.sampling
        options = self._default_options | wanted.options
        if self._is_streaming and sampling.get("n", 1) == 1:
            self._stream(sampling, options, slot)
            return
        answers = self._backend.generate(self._prompt(), sampling, options)
        texts, metas = [each.text for each in answers], [each.meta_info for each in answers]
        self._append(texts[0])
        if sampling.get("n", 1) == 1:
            self._finish(slot, texts[0], metas[0])
        else:
            self._finish(slot, texts, metas)

    def _stream(self, sampling: dict[str, Any], options: dict[str, Any], slot: Slot) -> None:
        meta_info = None
        with closing(self._backend.stream(self._prompt(), sampling, options)) as pieces:
            for piece in pieces:
                if self._error is not None:  # the program ended by it: nobody waits any more
                    return
                self._append(piece.text, slot)
                meta_info = piece.meta_info or meta_info
        self._finish(slot, slot.value, meta_info)

    def _select(self, wanted: Select, slot: Slot) -> None:
        decision = decide(self._backend, self._prompt(), wanted.choices, wanted.method)
        self._append(decision.choice)
        self._finish(slot, decision.choice, decision.meta_info)


def _slot_of(name: str | None, slots: Slots) -> Slot:
    """The variable of an expression; one that nobody can read where it has no name."""
    return Slot() if name is None else slots[name]
