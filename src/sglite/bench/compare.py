"""Time sglite and other engines in turn, each in a process from its own environment.

    sglite bench compare --model DIR --peer vllm=/envs/vllm/bin/python --workloads W2,W3 --out DIR
    sglite bench compare --model DIR --peer 'vllm=env LD_PRELOAD=x.so /envs/vllm/bin/python'
    sglite bench compare --model DIR --peer llamacpp=python3 --peer-model llamacpp=M.gguf

All stay loaded and wait while another is timed. docs/benchmarks/workloads.md says what runs, what
each peer needs, and which workloads it takes part in.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from sglite.bench.suite.command import Session, add_suite_arguments, read_session, run_session
from sglite.bench.suite.figures import OURS
from sglite.bench.suite.jobs import Job, all_jobs, read_jobs
from sglite.bench.suite.peer_process import PeerCommand, PeerProcess
from sglite.bench.suite.peer_table import peer_kind
from sglite.bench.suite.rounds import Contender
from sglite.errors import ConfigError

ALLOWED = tuple(all_jobs())


def main(
    argv: Sequence[str] | None = None,
    *,
    parser_class: type[argparse.ArgumentParser] = argparse.ArgumentParser,
) -> int:
    """Compare; 1 where an engine failed in a workload. Raises ConfigError."""
    parser = parser_class(prog="sglite bench compare", description=__doc__)
    add_arguments(parser)
    session = read_session(parser, argv, ALLOWED)
    peers = [Peer.read(name, words, session) for name, words in read_peers(session.arguments)]
    ours = Contender(OURS, session.own_process, frozenset(ALLOWED))
    return run_session(session, [ours, *(peer.contender(session) for peer in peers)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the comparison, those of all measurements, and those of sglite's engine."""
    add = parser.add_argument
    named: dict[str, Any] = {"action": "append", "default": []}
    add("--peer", metavar="NAME=PYTHON", help="an engine and its Python (may be repeated)", **named)
    add("--peer-model", metavar="NAME=PATH", help="the model in the peer's own format", **named)
    add("--peer-tiny-model", metavar="NAME=PATH", help="the same of the model of W5", **named)
    add("--peer-option", metavar="NAME:KEY=VALUE", help="an option of its adapter", **named)
    add("--peer-workloads", metavar="NAME=W1,W2", help="other workloads than its usual", **named)
    add("--adapter", metavar="NAME=FILE", help="a file with a class Peer", **named)
    add_suite_arguments(parser, default="W1,W2", rounds="--rounds")


def read_peers(arguments: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Names and the command lines of their Pythons. Raises ConfigError."""
    peers = read_pairs(arguments.peer, flag="--peer")
    if not peers:
        raise ConfigError("--peer NAME=PYTHON says what to compare with; `bench offline` is alone")
    for flag in ("peer_model", "peer_tiny_model", "peer_workloads", "adapter"):
        label = f"--{flag.replace('_', '-')}"
        for name in read_pairs(getattr(arguments, flag), flag=label):
            check_name(name, peers, flag=label)
    for text in arguments.peer_option:
        check_name(text.partition(":")[0], peers, flag="--peer-option")
    return [(name, shlex.split(words)) for name, words in peers.items()]


def check_name(name: str, peers: dict[str, str], *, flag: str) -> None:
    """Raise ConfigError where there is no such peer."""
    if name not in peers:
        raise ConfigError(f"{flag} {name!r:.40}: there is no --peer of that name")


def read_pairs(texts: Sequence[str], *, flag: str) -> dict[str, str]:
    """``["a=b"] -> {"a": "b"}``. Raises ConfigError."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in pairs or name == OURS or "/" in name:
            raise ConfigError(f"{flag} {text!r:.80}: give NAME=VALUE, each name once")
        pairs[name] = value
    return pairs


def read_options(texts: Sequence[str], name: str) -> dict[str, Any]:
    """The options of one peer; a value that is no JSON is text. Raises ConfigError."""
    options: dict[str, Any] = {}
    for text in texts:
        owner, _, setting = text.partition(":")
        key, equals, value = setting.partition("=")
        if not (key and equals):
            raise ConfigError(f"--peer-option {text!r:.80}: give NAME:KEY=VALUE")
        if owner == name:
            options[key] = _parse(value)
    return options


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One ``--peer`` with all that was said about it."""

    name: str
    command: PeerCommand
    model: str | None
    tiny_model: str | None
    options: dict[str, Any]
    jobs: frozenset[str]

    @classmethod
    def read(cls, name: str, python: list[str], session: Session) -> Peer:
        """From the flags of the session. Raises ConfigError."""
        arguments = session.arguments
        adapters = read_pairs(arguments.adapter, flag="--adapter")
        kind = peer_kind(name, adapters.get(name), ALLOWED)
        num_threads = torch.get_num_threads()
        tiny = session.tiny_target
        models = {"model": session.target.model, "tiny_model": tiny.model if tiny else None}
        for key in models:
            given = read_pairs(getattr(arguments, f"peer_{key}"), flag=f"--peer-{key}")
            models[key] = given.get(name, models[key])
        options = {"dtype": session.target.dtype_name, "threads": num_threads, **kind.options}
        chosen = read_pairs(arguments.peer_workloads, flag="--peer-workloads").get(name)
        jobs = kind.jobs if chosen is None else [job.name for job in read_jobs(chosen, ALLOWED)]
        return cls(
            name=name,
            command=PeerCommand(
                python=tuple(python),
                adapter=kind.adapter,
                log=session.log(name),
                environment=kind.environment_for(num_threads),
            ),
            **models,
            options=options | read_options(arguments.peer_option, name),
            jobs=frozenset(jobs),
        )

    def contender(self, session: Session) -> Contender:
        """It, among those that are timed."""
        return Contender(self.name, partial(self._start, session), self.jobs)

    def _start(self, session: Session, job: Job) -> PeerProcess:
        model = self.tiny_model if job.is_tiny else self.model
        return session.process(self.command, model, self.options)


if __name__ == "__main__":
    raise SystemExit(main())
