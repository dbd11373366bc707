"""The package holds none of the banned shapes, and each rule fires on a sample that breaks it."""

import pytest

from tools.static_bans import PACKAGE, RULES, check_source, source_files

BAD = [
    ("pickle", "import pickle"),
    ("pickle", "from cloudpickle import dumps"),
    ("pickle", "import torch\ntorch.load('weights.bin')"),
    ("pickle", "from torch import load"),
    ("pickle", "import numpy as np\nnp.load('a.npy')"),
    ("pickle", "socket.recv_pyobj()"),
    ("pickle", "dist.broadcast_object_list(items)"),
    ("pickle", "import yaml\nyaml.load(text)"),
    ("pickle", "def f():\n    import marshal"),
    ("eval", "eval(text)"),
    ("eval", "exec(text)"),
    ("border-assert", "assert body"),
    ("tcp", "address = 'tcp://*:5555'"),
    ("tcp", "address = f'tcp://{host}'"),
    ("all-interfaces", "def serve(host='0.0.0.0'): ..."),
    ("unbounded-queue", "import queue\nq = queue.Queue()"),
    ("unbounded-queue", "import asyncio\nq = asyncio.Queue(maxsize=0)"),
    ("unbounded-queue", "q = SimpleQueue()"),
    ("unbounded-cache", "@functools.cache\ndef f(text): ..."),
    ("unbounded-cache", "@lru_cache(None)\ndef f(text): ..."),
    ("unbounded-cache", "@functools.lru_cache(maxsize=None)\ndef f(text): ..."),
    ("swallowed-error", "try:\n    f()\nexcept:\n    g()"),
    ("swallowed-error", "try:\n    f()\nexcept Exception:\n    pass"),
    ("swallowed-error", "try:\n    f()\nexcept (OSError, BaseException):\n    ..."),
    ("swallowed-error", "with contextlib.suppress(Exception):\n    f()"),
    ("lost-task", "asyncio.create_task(work())"),
    ("lost-task", "asyncio.ensure_future(work())"),
    ("remote-code", "load(path, trust_remote_code=True)"),
    ("remote-code", "load(path, trust_remote_code=flag)"),
    ("remote-code", "options = {'trust_remote_code': True}"),
    ("environment", "import os\nos.environ['A']"),
    ("environment", "from os import environ"),
    ("environment", "import os\nos.getenv('A')"),
    ("open-template", "from jinja2 import Environment"),
    ("open-template", "import jinja2\njinja2.Template(text)"),
    ("clock", "import time"),
    ("clock", "from datetime import datetime"),
    ("clock", "import random\nrandom.random()"),
    ("clock", "import random\nrandom.Random()"),
]

GOOD = [
    "model.eval()",
    "'''Never tcp://, never 0.0.0.0.'''",
    "q = queue.Queue(maxsize=100)",
    "@functools.cache\ndef version(): ...",
    "@lru_cache(maxsize=8)\ndef f(text): ...",
    "try:\n    f()\nexcept OSError:\n    pass",
    "try:\n    f()\nexcept Exception as error:\n    fail(error)",
    "task = asyncio.create_task(work())",
    "task_group.create_task(work())",
    "load(path, trust_remote_code=False)",
    "from jinja2.sandbox import ImmutableSandboxedEnvironment",
    "order = random.Random(seed)",
]

# A file where every rule applies: at the border by its name, pure by its package.
EVERYWHERE = "scheduler/validate.py"


def rules_fired(source: str, path: str = EVERYWHERE) -> set[str]:
    return {finding.rule for finding in check_source(source, path)}


@pytest.mark.parametrize(("rule", "source"), BAD)
def test_rule_fires_on_a_bad_sample(rule, source):
    assert rules_fired(source) == {rule}


@pytest.mark.parametrize("source", GOOD)
def test_no_rule_fires_on_a_good_sample(source):
    assert rules_fired(source) == set()


def test_every_rule_has_a_bad_sample():
    assert {rule for rule, _ in BAD} == set(RULES)


def test_an_exception_needs_a_reason():
    assert rules_fired("eval(text)  # ban-ok: a constant of this file, not a user's") == set()
    assert rules_fired("eval(text)  # ban-ok:") == {"eval"}
    assert rules_fired("eval(text)  # ban-ok: x") == {"eval"}


def test_an_exception_covers_its_own_line_alone():
    source = "eval(a)  # ban-ok: a constant of this file\neval(b)"
    assert [finding.line for finding in check_source(source, EVERYWHERE)] == [2]


def test_an_exception_inside_a_handler_does_not_excuse_the_handler():
    source = "try:\n    f()\nexcept:\n    g()  # ban-ok: this excuses another line"
    assert rules_fired(source) == {"swallowed-error"}


def test_config_alone_reads_the_environment():
    source = "import os\nos.environ['A']"
    assert rules_fired(source, "config_resolve.py") == set()
    assert rules_fired(source, "models/config.py") == {"environment"}


def test_asserts_are_fine_away_from_the_border():
    assert rules_fired("assert pages", "kvcache/page_allocator.py") == set()
    assert rules_fired("assert body", "server/app.py") == {"border-assert"}


@pytest.mark.parametrize("path", list(source_files()), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_file_holds_nothing_banned(path):
    findings = check_source(path.read_text(), str(path.relative_to(PACKAGE)))
    assert not findings, "\n".join(map(str, findings))
