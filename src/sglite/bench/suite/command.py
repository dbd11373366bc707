"""What `bench offline`, `latency` and `compare` have in common: flags, targets, reports."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sglite.bench.parallel import parallel_text
from sglite.bench.suite.chart import to_svg
from sglite.bench.suite.figures import Row, rates_of, summarise, to_json
from sglite.bench.suite.in_process import InProcess
from sglite.bench.suite.jobs import Job, read_jobs
from sglite.bench.suite.machine import describe_machine, measure_rates
from sglite.bench.suite.peer_process import PEERS, PeerCommand, PeerProcess
from sglite.bench.suite.progress import rounds_progress
from sglite.bench.suite.report import print_report, to_markdown
from sglite.bench.suite.rounds import Contender, Outcome, Pace, run_rounds
from sglite.bench.suite.target import Target, read_target
from sglite.config_flags import add_option_arguments, config_from_arguments
from sglite.errors import ConfigError
from sglite.observability.logging import configure_logging

CHART_NAME = "cpu.svg"
SETTLE_S = 1.0


def add_suite_arguments(parser: argparse.ArgumentParser, *, default: str, rounds: str) -> None:
    """The flags of all three; ``rounds`` is the flag for how often."""
    add = parser.add_argument
    parser.set_defaults(usual_workloads=default)
    add("--workloads", metavar="W1,W2", help=f"default: those of {default} that the model can take")
    add(rounds, dest="num_rounds", default="3", metavar="INT", help="timed rounds (default 3)")
    add("--tiny-model", metavar="DIR", help="the model of W5; make-model --preset tiny writes one")
    add("--shrink", default="1", metavar="INT", help="divide all lengths, for a quick try")
    add("--no-warm-up", action="store_true", help="time the first run too")
    add("--timeout", default="1800", metavar="S", help="seconds for a call of another process")
    add("--load-timeout", default="600", metavar="S", help="seconds for loading there")
    add("--json", metavar="FILE", help="write all figures; - for standard output")
    add("--out", metavar="DIR", help="write results.json, cpu.md and cpu.svg into a directory")
    add_option_arguments(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A command line, read: the jobs and the models that they run on.

    ``cold_target`` loads its tokenizer, as a start from cold does; the others have no use for it.
    """

    prog: str
    arguments: argparse.Namespace
    words: Sequence[str]
    jobs: list[Job]
    target: Target
    cold_target: Target
    tiny_target: Target | None
    pace: Pace
    timeout_s: float
    load_timeout_s: float

    def target_of(self, job: Job) -> Target:
        """The model of a job."""
        if job.is_tiny:
            assert self.tiny_target is not None, "read_session asks for --tiny-model"
            return self.tiny_target
        return self.cold_target if job.is_cold else self.target

    def log(self, name: str) -> Path | None:
        """Where what an engine prints is kept: beside the results, if these are."""
        folder = self.arguments.out
        return None if folder is None else Path(folder) / f"{name}.log"

    def process(
        self, command: PeerCommand, model: str | None, options: dict[str, Any]
    ) -> PeerProcess:
        """An engine in a process of its own, with this session's patience."""
        return PeerProcess(
            command,
            model,
            options,
            load_timeout_s=self.load_timeout_s,
            timeout_s=self.timeout_s,
        )

    def own_process(self, job: Job) -> PeerProcess:
        """sglite in a process of its own."""
        command = PeerCommand(
            python=(sys.executable,), adapter=PEERS / "own.py", log=self.log("sglite")
        )
        return self.process(command, *self.target_of(job).engine_options())

    def own_engine(self, job: Job) -> InProcess | PeerProcess:
        """sglite in this process; for a cold start in one of its own."""
        if job.is_cold:
            return self.own_process(job)
        return InProcess(*self.target_of(job).engine_options())


def read_session(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, allowed: Sequence[str]
) -> Session:
    """Read the command line and the models' configs; nothing is loaded. Raises ConfigError."""
    words = [*(sys.argv[1:] if argv is None else argv)]
    arguments = parser.parse_args(words)
    shrink = read_number(arguments.shrink, flag="--shrink")
    cold = config_from_arguments(arguments)
    configure_logging(cold.log_level, stream=sys.stderr, style=cold.log_format)
    config = config_from_arguments(arguments, skip_tokenizer_init=True)
    target = read_target(config)
    jobs = choose_jobs(arguments, allowed, target, shrink)
    tiny = None
    if any(job.is_tiny for job in jobs):
        if arguments.tiny_model is None:
            raise ConfigError("W5 needs --tiny-model DIR; `sglite make-model --out DIR` writes one")
        tiny = read_target(config.replace(model_path=arguments.tiny_model, tokenizer_path=None))
    for job in jobs:
        refuse(job, (tiny or target) if job.is_tiny else target, shrink)
    pace = Pace(
        num_rounds=read_number(arguments.num_rounds, flag="--rounds or --repeat"),
        measure=lambda: measure_rates(target.dtype, with_int8=target.quantization is not None),
        shrink=shrink,
        is_warmed_up=not arguments.no_warm_up,
        settle_s=SETTLE_S,
    )
    if arguments.out is not None:
        make_directory(arguments.out)
    return Session(
        prog=parser.prog,
        arguments=arguments,
        words=words,
        jobs=jobs,
        target=target,
        cold_target=replace(target, config=cold),
        tiny_target=tiny,
        pace=pace,
        timeout_s=read_number(arguments.timeout, flag="--timeout"),
        load_timeout_s=read_number(arguments.load_timeout, flag="--load-timeout"),
    )


def choose_jobs(
    arguments: argparse.Namespace, allowed: Sequence[str], target: Target, shrink: int
) -> list[Job]:
    """What ``--workloads`` names; without it the usual ones, less what the model cannot take."""
    if arguments.workloads is not None:
        return read_jobs(arguments.workloads, allowed)
    jobs = []
    for job in read_jobs(arguments.usual_workloads, allowed):
        reason = target.why_not(job, shrink)
        if reason is None:
            jobs.append(job)
        else:
            print(f"left out: {reason}", file=sys.stderr)
    return jobs


def refuse(job: Job, target: Target, shrink: int) -> None:
    """Raise ConfigError where the model cannot take the job."""
    reason = target.why_not(job, shrink)
    if reason is not None:
        raise ConfigError(f"{reason}; leave it out, or give --shrink N for a try")


def run_session(session: Session, contenders: Sequence[Contender]) -> int:
    """Measure, print, write; 1 where something failed. Files are also written after each round."""
    num_pairs = sum(job.name in each.jobs for job in session.jobs for each in contenders)
    with rounds_progress(num_pairs * session.pace.num_rounds) as tell:
        outcome = run_rounds(
            contenders,
            session.jobs,
            session.pace,
            on_run=tell,
            on_round=lambda outcome: write_files(session, outcome),
        )
    rows = write_files(session, outcome)
    if session.arguments.json == "-":
        print(document(session, outcome, rows))
    else:
        print_report(outcome, rows, parallel=parallel_text(session.target.parallel))
    return int(bool(outcome.failures))


def write_files(session: Session, outcome: Outcome) -> list[Row]:
    """Write what ``--json`` and ``--out`` ask for; the rows of the table."""
    rows = summarise(outcome, floors_of(session, outcome))
    text = document(session, outcome, rows)
    if session.arguments.json not in (None, "-"):
        Path(session.arguments.json).write_text(text, encoding="utf-8")
    if session.arguments.out is not None:
        folder = Path(session.arguments.out)
        page = to_markdown(outcome, rows, settings_of(session), chart=CHART_NAME)
        (folder / "results.json").write_text(text, encoding="utf-8")
        (folder / "cpu.md").write_text(page, encoding="utf-8")
        (folder / CHART_NAME).write_text(to_svg(rows), encoding="utf-8")
    return rows


def floors_of(session: Session, outcome: Outcome) -> dict[str, float | None]:
    """The floor of each job, for the rates that were measured in this run."""
    rates = rates_of(outcome)
    if rates is None:
        return {}
    shrink = session.pace.shrink
    return {
        job.name: session.target_of(job).floor(rates).headline_s(job.workload, shrink)
        for job in session.jobs
    }


def document(session: Session, outcome: Outcome, rows: list[Row]) -> str:
    """The text of results.json."""
    return json.dumps(to_json(outcome, rows, settings_of(session)), indent=2) + "\n"


def settings_of(session: Session) -> dict[str, Any]:
    """What was asked for, and where."""
    target = session.target
    return {
        "command": shlex.join([*session.prog.split(), *session.words]),
        "model": target.model or "the embedded model",
        "dtype": target.dtype_name,
        "quantization": target.quantization,
        **target.parallel,
        "num_rounds": session.pace.num_rounds,
        "shrink": session.pace.shrink,
        "machine": describe_machine(),
    }


def read_number(text: str, *, flag: str) -> int:
    """An integer of at least 1. Raises ConfigError."""
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"{flag}: {text!r:.40} is not allowed; give an integer, at least 1")
    return int(text)


def make_directory(name: str) -> None:
    """Make ``name`` where it is not there. Raises ConfigError."""
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out: {name}: {error.strerror}") from error
