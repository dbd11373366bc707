"""Programs: functions over a state, run alone, as a stream, or over a batch of arguments."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sglite.errors import RequestError
from sglite.lang.backend import Backend, as_backend
from sglite.lang.expressions import split_settings
from sglite.lang.interpreter import Interpreter
from sglite.lang.state import ProgramState

MAX_AUTO_THREADS = 64
"""Programs of a batch that run side by side, where the caller does not say."""

SETTINGS = frozenset(
    """max_new_tokens min_new_tokens max_tokens min_tokens n stop stop_token_ids stop_regex
    temperature top_p top_k min_p frequency_penalty presence_penalty repetition_penalty ignore_eos
    sampling_seed skip_special_tokens return_logprob logprob_start_len top_logprobs_num""".split()
)
"""Keywords of ``run`` that are defaults for every ``gen``; all others are the program's own."""


class _Default:
    """The backend of programs that are run without one."""

    backend: object = None


def set_default_backend(backend: object) -> None:
    """Let programs run over ``backend`` from now on: an ``LLM``, or the URL of a server."""
    _Default.backend = backend


def function(program: Callable[..., Any]) -> Program:
    """Make a function of a state, ``def f(s, ...): s += ...``, a :class:`Program`."""
    return Program(program)


class Program:
    """A function whose first argument is a :class:`~sglite.lang.state.ProgramState`.

    Its other arguments are given to ``run``, together with sampling parameters under SGLang's
    names, which hold for every ``gen`` that does not say otherwise.
    """

    def __init__(self, program: Callable[..., Any], bound: Mapping[str, Any] | None = None) -> None:
        functools.update_wrapper(self, program)
        self._function = program
        self._bound = dict(bound or {})
        parameters = list(inspect.signature(program).parameters)
        if not parameters:
            raise TypeError(f"{program.__name__} needs a first argument for the state")
        taken = sorted(SETTINGS.intersection(parameters))
        if taken:
            raise TypeError(
                f"{program.__name__} has an argument {taken[0]!r}, which is a setting of run(); "
                "name it otherwise"
            )
        self._names = parameters[1:]

    def bind(self, **arguments: Any) -> Program:
        """The same program with some of its arguments given."""
        return Program(self._function, self._bound | arguments)

    def run(
        self, *arguments: Any, stream: bool = False, backend: object = None, **keywords: Any
    ) -> ProgramState:
        """Run it and return its state, whose answers may still be on their way.

        What the function itself raises is raised here. With ``stream`` it runs in a thread of its
        own instead, and whoever reads gets the exception. Raises ConfigError without a backend.
        """
        chosen = as_backend(_Default.backend if backend is None else backend)
        return self._run(chosen, arguments, keywords, is_streaming=stream)

    __call__ = run

    def run_batch(
        self,
        batch: Sequence[Mapping[str, Any] | Sequence[Any]],
        *,
        num_threads: int | str = "auto",
        progress_bar: bool = False,
        backend: object = None,
        **settings: Any,
    ) -> list[ProgramState]:
        """Run it once for each entry, a dict of arguments or a list of them; states in that order.

        ``num_threads`` run side by side, and all have ended on return. A run that fails does not
        disturb the others: ``error()`` of its state tells, and reading it raises.
        """
        from sglite.progress import generation_progress

        unknown = sorted(set(settings) - SETTINGS)
        if unknown:
            raise RequestError(
                f"unknown setting {unknown[0]!r}; arguments of the program go into the batch",
                param=unknown[0],
            )
        chosen = as_backend(_Default.backend if backend is None else backend)
        most = MAX_AUTO_THREADS if num_threads == "auto" else max(1, int(num_threads))
        states: list[ProgramState] = []
        with (
            generation_progress(len(batch), show=progress_bar) as advance,
            ThreadPoolExecutor(max(1, min(most, len(batch)))) as pool,
        ):
            for state in pool.map(lambda entry: self._run_one(chosen, entry, settings), batch):
                states.append(state)
                advance(0, True)
        return states

    def _run_one(
        self, backend: Backend, entry: Mapping[str, Any] | Sequence[Any], settings: dict[str, Any]
    ) -> ProgramState:
        """One run of a batch, to its end; its failure is the state's."""
        if not isinstance(entry, Mapping):
            entry = dict(zip(self._names, entry, strict=False))
        state = self._state(backend, settings, is_streaming=False)
        self._execute(state, (), dict(entry))
        state.error()
        return state

    def _run(
        self,
        backend: Backend,
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        *,
        is_streaming: bool,
    ) -> ProgramState:
        settings = {name: value for name, value in keywords.items() if name in SETTINGS}
        own = {name: value for name, value in keywords.items() if name not in SETTINGS}
        state = self._state(backend, settings, is_streaming=is_streaming)
        if is_streaming:
            threading.Thread(
                target=self._execute, args=(state, arguments, own), name="lang", daemon=True
            ).start()
            return state
        error = self._execute(state, arguments, own)
        if error is not None:
            raise error
        return state

    def _execute(
        self, state: ProgramState, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Exception | None:
        """Call the function; what it raises is the state's failure, and is returned."""
        try:
            state.return_value = self._function(state, *arguments, **(self._bound | keywords))
        except Exception as error:  # noqa: BLE001  raised to whoever reads the state
            state.interpreter.fail(error)
            return error
        finally:
            state.interpreter.close()
        return None

    @staticmethod
    def _state(
        backend: Backend, settings: Mapping[str, Any], *, is_streaming: bool
    ) -> ProgramState:
        sampling, options = split_settings(settings)
        return ProgramState(Interpreter(backend, sampling, options, is_streaming=is_streaming))
