"""What a program holds: a state to append to and to read from, and the forks of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sglite.errors import RequestError
from sglite.lang.expressions import (
    Expression,
    RoleBegin,
    RoleEnd,
    ScopeBegin,
    ScopeEnd,
    as_expression,
    message,
)
from sglite.lang.interpreter import Interpreter


class _Messages:
    """Messages on a state: ``s.user("Hi")`` appends one, ``with s.user(): ...`` fills one."""

    interpreter: Interpreter

    def system(self, content: Expression | str | None = None) -> AbstractContextManager[None]:
        """A message of the system."""
        return self._message("system", content)

    def user(self, content: Expression | str | None = None) -> AbstractContextManager[None]:
        """A message of the user."""
        return self._message("user", content)

    def assistant(self, content: Expression | str | None = None) -> AbstractContextManager[None]:
        """A message of the assistant."""
        return self._message("assistant", content)

    def _message(self, role: str, content: Expression | str | None) -> AbstractContextManager[None]:
        if content is None:
            return self._between(RoleBegin(role), RoleEnd(role))
        self.interpreter.submit(message(role, content))
        return _nothing()

    @contextmanager
    def _between(self, begin: Expression, end: Expression) -> Iterator[None]:
        self.interpreter.submit(begin)
        yield
        self.interpreter.submit(end)


class ProgramState(_Messages):
    """A program's text and variables.

    ``s += ...`` returns at once; ``s["name"]``, ``text()`` and ``messages()`` wait for what they
    give, and raise what went wrong on the way. ``return_value`` is what the function returned.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        self.interpreter = interpreter
        self.return_value: Any = None

    def __iadd__(self, other: Expression | str) -> ProgramState:
        self.interpreter.submit(as_expression(other))
        return self

    def __getitem__(self, name: str) -> Any:
        return self.interpreter.read(name).value

    def __setitem__(self, name: str, value: Any) -> None:
        self.interpreter.set(name, value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.interpreter.has(name)

    def text(self) -> str:
        """All text, chat markers included."""
        return self.interpreter.chat().text

    def messages(self) -> list[dict[str, Any]]:
        """The finished messages, as OpenAI's API has them."""
        return self.interpreter.chat().messages

    def get_meta_info(self, name: str) -> Any:
        """SGLang's ``meta_info`` of the answer in a variable: token counts, finish reason,
        log-probabilities; of a choice, what it was decided by; None of a variable that is neither.
        """
        return self.interpreter.read(name).meta_info

    def text_iter(self, var_name: str | None = None) -> Iterator[str]:
        """The text, or that of one variable, as it comes; with ``run(stream=True)`` that is while
        the model says it. Raises KeyError where the program ends without such a variable.
        """
        return self.interpreter.pieces(var_name)

    async def text_async_iter(self, var_name: str | None = None) -> AsyncIterator[str]:
        """:meth:`text_iter` for an event loop."""
        pieces = self.interpreter.pieces(var_name)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    def sync(self) -> None:
        """Wait until everything so far was carried out."""
        self.interpreter.sync()

    def error(self) -> BaseException | None:
        """What went wrong, once everything was carried out; None where nothing did."""
        return self.interpreter.error()

    def var_scope(self, name: str) -> AbstractContextManager[None]:
        """``with s.var_scope("x"):`` makes the text that is appended in it a variable."""
        return self._between(ScopeBegin(name), ScopeEnd(name))

    def fork(self, size: int = 1) -> ForkGroup:
        """``size`` states that go on from here side by side; their prefix is computed once."""
        return ForkGroup([ProgramState(self.interpreter.fork()) for _ in range(size)], self)

    @contextmanager
    def copy(self) -> Iterator[ProgramState]:
        """A single fork, joined at the end of the block."""
        group = self.fork()
        yield group[0]
        group.join()


class ForkGroup:
    """Forks of a state; iterate over them, or take one by its number."""

    def __init__(self, states: list[ProgramState], source: ProgramState) -> None:
        self.states = states
        self._source = source

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, number: int) -> ProgramState:
        return self.states[number]

    def __iter__(self) -> Iterator[ProgramState]:
        return iter(self.states)

    def join(self, mode: str = "gather_variable") -> None:
        """Wait for all, and bring home what they made. Raises the first failure of a fork.

        "gather_variable" makes each of their new variables a list in the source;
        "concate_and_append" (SGLang's spelling) appends their new texts to its text.
        """
        if mode not in ("gather_variable", "concate_and_append"):
            raise RequestError(f"join gathers variables or concatenates, not {mode!r:.40}")
        if mode == "concate_and_append":
            added = [self._added_text(state.interpreter) for state in self.states]
            self._source += "".join(added)
        else:
            self._gather()
        for state in self.states:
            state.interpreter.close()

    def _gather(self) -> None:
        gathered: dict[str, list[Any]] = {}
        for state in self.states:
            for name, value in state.interpreter.values().items():
                if name not in self._source:
                    gathered.setdefault(name, []).append(value)
        for name, values in gathered.items():
            self._source[name] = values

    @staticmethod
    def _added_text(interpreter: Interpreter) -> str:
        return interpreter.chat().text[interpreter.fork_start :]


@contextmanager
def _nothing() -> Iterator[None]:
    yield
