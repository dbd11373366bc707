import ast
import importlib.machinery
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sglite
from sglite.config import EngineConfig
from sglite.config_fields import option_fields
from sglite.errors import ConfigError
from sglite.kernels import cpu

STUB = Path(cpu.__file__).with_name("_cpu.pyi")
SOURCES = Path(sglite.__file__).resolve().parent.parent
NOT_COMPILED = "the CPU kernels were not compiled when sglite was installed"


@pytest.fixture
def compiled():
    """The extension; tests of it are skipped where it is missing, and say why."""
    module = cpu.extension()
    if module is None:
        pytest.skip(str(cpu.why_missing()))
    return module


@pytest.fixture
def machine(monkeypatch):
    """Makes this machine one that has an extension for some instruction sets, or has none."""

    def install(*names, why_missing=None):
        monkeypatch.setattr(cpu, "instruction_sets", lambda: list(names))
        monkeypatch.setattr(cpu, "why_missing", lambda: why_missing)

    return install


@pytest.fixture
def on_the_path(tmp_path, monkeypatch):
    """A folder that modules are looked for in."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    cpu.load.cache_clear()


def test_exactly_one_of_module_and_reason_is_there():
    assert (cpu.extension() is None) == isinstance(cpu.why_missing(), str)
    assert (cpu.extension() is None) == (cpu.instruction_sets() == [])
    assert cpu.extension() is cpu.extension()


COMPILER = next(filter(shutil.which, ("c++", "g++", "clang++")), None)


@pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler")
def test_the_extension_is_there_where_a_compiler_is():
    # Installing goes on without it, and the kernels' tests skip: nothing else would tell.
    assert cpu.extension() is not None, (
        f"{cpu.why_missing()}, though {COMPILER} is here; rm .venv/.runtime and make setup say why"
    )


def test_importing_the_package_loads_no_torch():
    code = (
        "import sys; import sglite.kernels.cpu; "
        "assert not {'torch', 'numpy', 'sglite.kernels.cpu._cpu'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCES)}, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_what_was_never_built_is_not_compiled(on_the_path):
    assert cpu.load("sglite_never_built") == (None, NOT_COMPILED)


def test_what_does_not_load_says_what_the_system_says(on_the_path):
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (on_the_path / f"sglite_broken{suffix}").write_bytes(b"\x7fnot a library\n")
    module, why = cpu.load("sglite_broken")
    assert module is None
    assert why is not None and why.startswith("the compiled CPU kernels do not load: ")
    assert f"sglite_broken{suffix}" in why and "\n" not in why


def test_a_missing_module_of_another_name_is_no_missing_extension(on_the_path):
    (on_the_path / "sglite_needs_more.py").write_text("import sglite_of_another_name")
    with pytest.raises(ModuleNotFoundError, match="sglite_of_another_name"):
        cpu.load("sglite_needs_more")


def test_auto_is_the_first_and_a_name_is_itself(machine):
    machine("avx2", "portable")
    assert cpu.choose("auto") == "avx2"
    assert [cpu.choose(name) for name in ("avx2", "portable")] == ["avx2", "portable"]
    assert cpu.choose("torch") is None


def test_without_extension_auto_is_torch(machine):
    machine(why_missing=NOT_COMPILED)
    assert cpu.choose("auto") is cpu.choose("torch") is None


def test_refusal_names_the_choices_and_the_reason(machine):
    machine("avx2", "portable")
    message = "cpu_kernels: 'neon' (this machine cannot run it); give auto, avx2, portable or torch"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        cpu.choose("neon")
    machine(why_missing=NOT_COMPILED)
    message = f"cpu_kernels: 'avx2' ({NOT_COMPILED}); give auto or torch"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        cpu.choose("avx2")


def test_every_instruction_set_is_a_choice_of_the_option(compiled):
    names = cpu.instruction_sets()
    assert names[-1] == "portable" and len(set(names)) == len(names)
    assert set(names) <= set(option_fields(EngineConfig)["cpu_kernels"].choices) - {"auto", "torch"}
    assert cpu.choose("auto") == names[0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch may bring another runtime")
def test_threads_are_those_of_torch(compiled):
    assert compiled.thread_source() == "torch's OpenMP runtime"


def stubbed(tree: ast.Module | ast.ClassDef) -> dict[str, list[str]]:
    """The functions of a stub and the names of their arguments, in order."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        node.name: [each.arg for each in node.args.posonlyargs + node.args.args]
        for node in functions
    }


def bound(owner: object) -> dict[str, list[str]]:
    """The same of what nanobind made."""
    functions = {
        name: value
        for name, value in vars(owner).items()
        if hasattr(value, "__nb_signature__") and (name == "__init__" or name[0] != "_")
    }
    return {name: arguments_of(value)[name] for name, value in functions.items()}


def arguments_of(function: object) -> dict[str, list[str]]:
    """As :func:`stubbed`; what is in brackets, such as ``ndarray[order='C']``, is no Python.

    Neither are defaults: their place holds a number, such as ``\\0``.
    """
    signature = re.sub(r"\\\d+", "None", function.__nb_signature__[0][0])
    while "[" in signature:
        signature = re.sub(r"\[[^][]*\]", "", signature)
    return stubbed(ast.parse(f"{signature}: ..."))


def test_stub_says_what_the_extension_has(compiled):
    tree = ast.parse(STUB.read_text())
    classes = {node.name: stubbed(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    made = {name: bound(value) for name, value in vars(compiled).items() if isinstance(value, type)}
    assert bound(compiled) == stubbed(tree)
    assert made == classes
