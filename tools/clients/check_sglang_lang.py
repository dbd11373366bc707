"""Runs programs with SGLang's own frontend against a server, and the same with ``sglite.lang``.

    python tools/clients/check_sglang_lang.py DIRECTORY [--url URL]

DIRECTORY holds SGLang's unpacked wheel. Its ``sglang.lang`` is used as it is; what stands in is the
package's own ``__init__``, which imports the server, and IPython's ``display``, which nothing here
calls. Every program is run by both frontends, greedily: texts, variables, choices and messages have
to be equal, and answers with a regex or a schema have to match it. Prints a line for each program,
and ends with 1 where something differs.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from sglite import lang

QUESTIONS = ("What is the capital of France?", "Who are you?", "What is 2+3?")
COLOURS = ("red", "green", "blue")
REGEX = r"[1-9][0-9]{2}-[a-c]+"
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
NAMES = """function gen gen_int select system user assistant user_begin user_end assistant_begin
    assistant_end set_default_backend flush_cache get_server_info""".split()


def load_sglang(directory: Path) -> SimpleNamespace:
    """The public names of SGLang's frontend."""
    for name, path in (("sglang", "sglang"), ("sglang.srt", "sglang/srt")):
        package = ModuleType(name)
        package.__path__ = [str(directory / path)]
        sys.modules[name] = package
    display = ModuleType("IPython.display")
    display.HTML = display.display = None  # type: ignore[attr-defined]
    sys.modules["IPython"], sys.modules["IPython.display"] = ModuleType("IPython"), display
    api = importlib.import_module("sglang.lang.api")
    endpoint = importlib.import_module("sglang.lang.backend.runtime_endpoint").RuntimeEndpoint
    return SimpleNamespace(RuntimeEndpoint=endpoint, **{name: getattr(api, name) for name in NAMES})


def chat(sgl: Any) -> Any:
    """Two turns, in both ways of writing a message."""

    @sgl.function
    def program(s: Any, question: str) -> None:
        s += sgl.system("You are brief.")
        s += sgl.user(question)
        s += sgl.assistant(sgl.gen("first", max_tokens=24))
        s += sgl.user_begin() + "Are you " + "sure?" + sgl.user_end()
        with s.assistant():
            s += sgl.gen("second", max_tokens=16)

    states = [program.run(question, temperature=0) for question in QUESTIONS]
    return [(s.text(), s.messages(), s["first"], s["second"]) for s in states]


def stops(sgl: Any) -> Any:
    """Completions that end at a stop string or at their length, and what is told of them."""

    @sgl.function
    def program(s: Any) -> None:
        s += "One, two, three" + sgl.gen("rest", max_tokens=20, stop=["\n", "."]) + "\n"
        s += "The sea" + sgl.gen("sea", max_tokens=9)

    s = program.run(temperature=0)
    told = s.get_meta_info("sea")
    counts = {name: told[name] for name in ("prompt_tokens", "completion_tokens", "finish_reason")}
    return s.text(), s["rest"], s["sea"], counts


def select(sgl: Any) -> Any:
    """The likeliest of some choices."""

    @sgl.function
    def program(s: Any, question: str) -> None:
        s += sgl.user(question)
        s += sgl.assistant("My answer: " + sgl.select("choice", list(COLOURS)))

    asked = ("What colour is the sky?", "What colour is grass?", "What colour is blood?")
    states = [program.run(question) for question in asked]
    return [(s["choice"], s.text()) for s in states]


def fork(sgl: Any) -> Any:
    """Branches of one text, gathered again."""

    @sgl.function
    def program(s: Any) -> None:
        s += "Three towns in the north are"
        forks = s.fork(3)
        for number, branch in enumerate(forks):
            branch += f" ({number + 1})" + sgl.gen("town", max_tokens=8)
        forks.join()
        s += "; ".join(s["town"]) + sgl.gen("end", max_tokens=8)

    s = program.run(temperature=0)
    return s.text(), s["town"], s["end"]


def stream(sgl: Any) -> Any:
    """Text while it comes; it has to be more than one piece."""

    @sgl.function
    def program(s: Any, question: str) -> None:
        s += sgl.user(question)
        s += sgl.assistant(sgl.gen("answer", max_tokens=24))

    whole = list(program.run(QUESTIONS[1], temperature=0, stream=True).text_iter())
    answer = list(program.run(QUESTIONS[1], temperature=0, stream=True).text_iter("answer"))
    assert len(whole) > 1 and len(answer) > 1, (whole, answer)
    return "".join(whole), "".join(answer)


def batch(sgl: Any) -> Any:
    """The same program over many arguments."""

    @sgl.function
    def program(s: Any, first: int, second: int) -> None:
        s += sgl.user(f"What is {first}+{second}?")
        s += sgl.assistant(sgl.gen("sum", max_tokens=12))

    arguments = [{"first": number, "second": 2} for number in range(24)]
    states = program.run_batch(arguments, temperature=0, num_threads=8)
    return [s["sum"] for s in states]


def constrained(sgl: Any) -> Any:
    """A regex, a schema and a number, at temperature 2."""

    @sgl.function
    def program(s: Any) -> None:
        s += "Code: " + sgl.gen("code", max_tokens=24, regex=REGEX) + "\n"
        s += sgl.gen("person", max_tokens=64, json_schema=json.dumps(SCHEMA))
        s += "\nSum: " + sgl.gen_int("sum", max_tokens=12)

    s = program.run(temperature=2.0)
    person = json.loads(s["person"])
    assert re.fullmatch(REGEX, s["code"]), s["code"]
    assert set(person) == {"name", "age"} and type(person["age"]) is int, person
    assert str(int(s["sum"])), s["sum"]
    return "matched"


PROGRAMS: tuple[Callable[[Any], Any], ...] = (
    chat,
    stops,
    select,
    fork,
    stream,
    batch,
    constrained,
)


def is_equal(program: Callable[[Any], Any], sglang: Any) -> bool:
    """Run it with both frontends and say how that went."""
    try:
        theirs, ours = program(sglang), program(lang)
    except Exception as error:  # noqa: BLE001  the next program is run all the same
        print(f"{program.__name__:12} FAILED  {type(error).__name__}: {error}")
        return False
    if theirs != ours:
        print(f"{program.__name__:12} DIFFERS\n  sglang: {theirs}\n  sglite: {ours}")
        return False
    print(f"{program.__name__:12} equal")
    return True


def main() -> int:
    """Run all programs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:30000")
    options = parser.parse_args()
    sglang = load_sglang(options.directory)
    sglang.set_default_backend(sglang.RuntimeEndpoint(options.url, chat_template_name="chatml"))
    lang.set_default_backend(options.url)
    assert sglang.get_server_info()["version"]
    sglang.flush_cache()
    results = [is_equal(program, sglang) for program in PROGRAMS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
