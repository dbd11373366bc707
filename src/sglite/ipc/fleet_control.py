"""One operation asked of several engines: what each is told, and their answers as one.

Every operation of ``sglite.ipc.operations`` goes to all engines that live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sglite.errors import EngineDeadError, NotReadyError, RequestError

GONE = (EngineDeadError, NotReadyError)


class Controlled(Protocol):
    """An engine, as far as it is needed here."""

    async def control(self, name: str, **arguments: Any) -> Any:
        """The result of an operation."""


async def control_all(
    engines: Mapping[int, Controlled], name: str, arguments: Mapping[str, Any]
) -> Any:
    """What all ``engines`` answer together. Engines that end meanwhile are left out.

    Raises RequestError where one refuses (with ``stop_profile``: where all do), EngineDeadError
    where none is left.
    """
    calls = [
        engine.control(name, **_arguments_for(number, name, arguments))
        for number, engine in engines.items()
    ]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    good = [answer for answer in answers if not isinstance(answer, BaseException)]
    faults = [answer for answer in answers if isinstance(answer, BaseException)]
    grave = [fault for fault in faults if not isinstance(fault, GONE)]
    if name == "stop_profile" and good:  # others may have written their last step before
        grave = [fault for fault in grave if not isinstance(fault, RequestError)]
    for fault in grave or ([] if good else faults):
        raise fault
    return _MERGES.get(name, _first)(good)


async def answers_of(engines: Mapping[int, Controlled], name: str) -> dict[int, Any]:
    """What each engine answers, by its number. Engines that end meanwhile are left out.

    Raises what an engine raises otherwise, EngineDeadError where none is left.
    """
    calls = [engine.control(name) for engine in engines.values()]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    good = {
        number: answer
        for number, answer in zip(engines, answers, strict=True)
        if not isinstance(answer, BaseException)
    }
    faults = [answer for answer in answers if isinstance(answer, BaseException)]
    grave = [fault for fault in faults if not isinstance(fault, GONE)]
    for fault in grave or ([] if good else faults):
        raise fault
    return good


def _arguments_for(number: int, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Each engine writes a profile of its own: the file's name says whose it is."""
    if name != "start_profile":
        return dict(arguments)
    path = Path(arguments["path"])
    stem, dot, rest = path.name.partition(".")
    return {**arguments, "path": str(path.with_name(f"{stem}-engine{number}{dot}{rest}"))}


def sums(answers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Numbers added up; of those that say yes or no, whether one says yes."""
    total: dict[str, float] = {}
    for answer in answers:
        for key, value in answer.items():
            known = total.get(key, 0)
            total[key] = max(known, value) if key.startswith("is_") else known + value
    return total


def _first(answers: Sequence[Any]) -> Any:
    return answers[0]


_MERGES: dict[str, Callable[[Sequence[Any]], Any]] = {
    "stats": sums,
    "loads": sums,
    "flush_cache": all,
    "unpin_prefix": any,
}
