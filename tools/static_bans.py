"""What must not stand in ``src/``: an AST walk with one small function per rule.

Ruff bans names; this bans shapes: an unbounded queue, a task nobody holds, an ``assert`` where a
user's input is checked. A line that has to break a rule says why, on that line:

    queue.Queue()  # ban-ok: drained at once by the caller, never grows

Run it as ``python -m tools.static_bans [files]``; without files it reads all of ``src/sglite``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sglite"

PICKLE_MODULES = frozenset(
    "pickle _pickle cPickle dill cloudpickle marshal shelve joblib rpyc".split()
)
PICKLE_CALLS = frozenset(
    "torch.load torch.save torch.jit.load torch.hub.load numpy.load np.load yaml.load "
    "yaml.unsafe_load yaml.full_load pandas.read_pickle pd.read_pickle".split()
)
PICKLE_METHODS = frozenset(
    "send_pyobj recv_pyobj all_gather_object broadcast_object_list gather_object "
    "scatter_object_list send_object_list recv_object_list ForkingPickler".split()
)
QUEUES = frozenset("Queue LifoQueue PriorityQueue JoinableQueue".split())
BORDER_PACKAGES = frozenset({"server", "ipc", "validation"})
PURE_PACKAGES = frozenset({"scheduler", "kvcache"})
EXCEPTION_MARK = re.compile(r"#\s*ban-ok:\s*(?P<reason>\S.{7,})")


class Finding(NamedTuple):
    """One broken rule: where, which, and what to do instead."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: [{self.rule}] {self.message}"


@dataclass(slots=True)
class Module:
    """A parsed file. ``parts`` is its path below the package, ``docstrings`` holds node ids."""

    parts: tuple[str, ...]
    tree: ast.Module
    docstrings: set[int] = field(default_factory=set)

    @property
    def stem(self) -> str:
        """The file's name without its suffix."""
        return self.parts[-1].removesuffix(".py")

    def lies_in(self, packages: frozenset[str]) -> bool:
        """True where one of ``packages`` holds the file."""
        return bool(packages.intersection(self.parts[:-1]))


Rule = Callable[[ast.AST, Module], "str | None"]


def dotted(node: ast.AST) -> str:
    """``a.b.c`` for a chain of attributes of a name, otherwise the last attribute or ''."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else node.attr
    return ""


def imported(node: ast.AST) -> list[str]:
    """Full names that an import statement brings in; ``from a import b`` gives ``a.b``."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """The value given for ``name`` in a call."""
    return next((word.value for word in call.keywords if word.arg == name), None)


def is_constant(node: ast.AST | None, *values: object) -> bool:
    """True for a literal that is one of ``values``."""
    return isinstance(node, ast.Constant) and any(
        node.value is value or (node.value == value and type(node.value) is type(value))
        for value in values
    )


def literal_text(node: ast.AST, module: Module) -> str:
    """The text of a string literal that is no docstring, otherwise ''."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return "" if id(node) in module.docstrings else node.value
    return ""


def ban_pickle(node: ast.AST, module: Module) -> str | None:
    """Formats that can run code when they are read."""
    names = imported(node)
    if isinstance(node, ast.Call):
        names.append(dotted(node.func))
    for name in names:
        called = name.rsplit(".", 1)[-1]
        if name.split(".")[0] in PICKLE_MODULES or name in PICKLE_CALLS or called in PICKLE_METHODS:
            return f"{name} can run code from a file or a message; use safetensors, msgpack or json"
    return None


def ban_eval(node: ast.AST, module: Module) -> str | None:
    """The builtins; ``model.eval()`` is a method and fine."""
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Name) and called.id in {"eval", "exec", "__import__"}:
        return f"{called.id}() runs text as code"
    return None


def ban_border_assert(node: ast.AST, module: Module) -> str | None:
    """An assert vanishes under ``python -O``; a check of what users send must not."""
    at_border = module.lies_in(BORDER_PACKAGES) or "valid" in module.stem or module.stem == "wire"
    if isinstance(node, ast.Assert) and at_border:
        return "raise RequestError (or another SgliteError); assert vanishes under python -O"
    return None


def ban_tcp(node: ast.AST, module: Module) -> str | None:
    """Sockets between processes are ``ipc://`` in a private directory."""
    if "tcp://" in literal_text(node, module):
        return "processes talk over ipc:// in a 0700 directory"
    return None


def ban_all_interfaces(node: ast.AST, module: Module) -> str | None:
    """Listening to the world is a decision of whoever starts a server."""
    if "0.0.0.0" in literal_text(node, module):
        return "never the default: bind 127.0.0.1"
    return None


def ban_unbounded_queue(node: ast.AST, module: Module) -> str | None:
    """A queue without a limit turns overload into a lack of memory."""
    if not isinstance(node, ast.Call):
        return None
    name = dotted(node.func).rsplit(".", 1)[-1]
    if name == "SimpleQueue":
        return "SimpleQueue has no limit; use Queue(maxsize=...)"
    if name not in QUEUES:
        return None
    limit = keyword(node, "maxsize") or (node.args[0] if node.args else None)
    if limit is None or is_constant(limit, 0, -1, None):
        return f"{name} needs a maxsize"
    return None


def ban_unbounded_cache(node: ast.AST, module: Module) -> str | None:
    """A memo keyed by what users send grows for ever; one without arguments holds one value."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    arguments = node.args
    if not (arguments.posonlyargs or arguments.args or arguments.kwonlyargs):
        return None
    for decorator in node.decorator_list:
        if dotted(decorator) in {"cache", "functools.cache"}:
            return "functools.cache has no limit; use lru_cache(maxsize=...)"
        if isinstance(decorator, ast.Call) and dotted(decorator.func).endswith("lru_cache"):
            limits = [keyword(decorator, "maxsize"), *decorator.args]
            if any(is_constant(limit, None) for limit in limits):
                return "lru_cache(None) has no limit"
    return None


def ban_swallowed_errors(node: ast.AST, module: Module) -> str | None:
    """A fault ends one request or the engine; it is never dropped."""
    suppresses = isinstance(node, ast.Call) and dotted(node.func).endswith("suppress")
    if isinstance(node, ast.Call) and suppresses and any(map(is_broad, node.args)):
        return "suppress the exception that is expected, by name"
    if not isinstance(node, ast.ExceptHandler):
        return None
    if node.type is None:
        return "bare except also catches Ctrl-C; name the exception"
    if is_broad(node.type) and all(is_idle(statement) for statement in node.body):
        return "an error is swallowed; handle it, or name the one that is expected"
    return None


def is_broad(caught: ast.expr) -> bool:
    """True where ``caught`` is, or a tuple holds, Exception or BaseException."""
    types = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(dotted(error) in {"Exception", "BaseException"} for error in types)


def is_idle(statement: ast.stmt) -> bool:
    """True for ``pass``, ``...`` and ``continue``."""
    if isinstance(statement, ast.Pass | ast.Continue):
        return True
    return isinstance(statement, ast.Expr) and is_constant(statement.value, ...)


def ban_lost_task(node: ast.AST, module: Module) -> str | None:
    """The event loop holds tasks weakly: one that nobody keeps may vanish midway."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return None
    owner, _, verb = dotted(node.value.func).rpartition(".")
    if verb in {"create_task", "ensure_future"} and "group" not in owner.lower():
        return "keep the task (a set and discard, or a TaskGroup named *group*)"
    return None


def ban_remote_code(node: ast.AST, module: Module) -> str | None:
    """Code that comes with a checkpoint is never run."""
    value: ast.expr | None = None
    if isinstance(node, ast.Call):
        value = keyword(node, "trust_remote_code")
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        value = next((v for k, v in pairs if is_constant(k, "trust_remote_code")), None)
    # Text or a table under that key explains the option; it is not an argument.
    text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    if value is None or text or isinstance(value, ast.Dict) or is_constant(value, False):
        return None
    return "trust_remote_code is False, written out"


def ban_environment(node: ast.AST, module: Module) -> str | None:
    """The environment is read once, where the options are."""
    if module.stem.startswith("config") and len(module.parts) == 1:
        return None
    names = imported(node) or ([dotted(node)] if isinstance(node, ast.Attribute) else [])
    for name in names:
        if name in {"os.environ", "os.environb", "os.getenv", "os.putenv"}:
            return f"{name}: options and the environment are read in config*.py alone"
    return None


def ban_open_templates(node: ast.AST, module: Module) -> str | None:
    """A chat template is foreign code: one sandboxed renderer."""
    for name in [*imported(node), dotted(node.func) if isinstance(node, ast.Call) else ""]:
        if name in {"jinja2.Environment", "jinja2.Template", "jinja2.sandbox.SandboxedEnvironment"}:
            return "templates are rendered by ImmutableSandboxedEnvironment alone"
    return None


def ban_clock(node: ast.AST, module: Module) -> str | None:
    """Scheduler and cache are a state machine: time and chance are handed in."""
    if not module.lies_in(PURE_PACKAGES):
        return None
    for name in imported(node):
        if name.split(".")[0] in {"time", "datetime", "secrets", "uuid"}:
            return f"{name}: take the time (or the number) as an argument, so that runs repeat"
    called = dotted(node.func) if isinstance(node, ast.Call) else ""
    seeded = called == "random.Random" and isinstance(node, ast.Call) and bool(node.args)
    if called.startswith("random.") and not seeded:
        return f"{called}: take a seeded random.Random"
    return None


RULES: dict[str, Rule] = {
    "pickle": ban_pickle,
    "eval": ban_eval,
    "border-assert": ban_border_assert,
    "tcp": ban_tcp,
    "all-interfaces": ban_all_interfaces,
    "unbounded-queue": ban_unbounded_queue,
    "unbounded-cache": ban_unbounded_cache,
    "swallowed-error": ban_swallowed_errors,
    "lost-task": ban_lost_task,
    "remote-code": ban_remote_code,
    "environment": ban_environment,
    "open-template": ban_open_templates,
    "clock": ban_clock,
}


def check_source(source: str, path: str) -> list[Finding]:
    """All findings in ``source``; ``path`` is the file's path below the package."""
    module = Module(parts=Path(path).parts, tree=ast.parse(source))
    module.docstrings = docstring_ids(module.tree)
    lines = source.splitlines()
    findings = []
    for node in ast.walk(module.tree):
        for name, rule in RULES.items():
            message = rule(node, module)
            line = getattr(node, "lineno", 1)
            if message and not is_excused(lines, node):
                findings.append(Finding(path, line, name, message))
    return findings


def docstring_ids(tree: ast.Module) -> set[int]:
    """Ids of the constants that stand alone as statements: docstrings and field texts."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def is_excused(lines: list[str], node: ast.AST) -> bool:
    """True where a line of the node carries ``# ban-ok:`` with a reason."""
    first = getattr(node, "lineno", 1)
    # An except clause or a decorated function is excused where it begins, not anywhere inside.
    block = isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.AsyncFunctionDef)
    last = first if block else getattr(node, "end_lineno", first)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
        first = node.decorator_list[0].lineno
    return any(EXCEPTION_MARK.search(line) for line in lines[first - 1 : last])


def source_files() -> Iterator[Path]:
    """Every Python file of the package."""
    return iter(sorted(PACKAGE.rglob("*.py")))


def main(arguments: list[str]) -> int:
    """Print the findings of the named files, or of the package; 1 where there are any."""
    paths = [Path(name).resolve() for name in arguments] or list(source_files())
    findings = [
        finding
        for path in paths
        if path.is_relative_to(PACKAGE)
        for finding in check_source(path.read_text(), str(path.relative_to(PACKAGE)))
    ]
    print("\n".join(map(str, findings)) or f"static bans: {len(paths)} files, no findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
