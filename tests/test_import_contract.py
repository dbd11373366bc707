"""What each part may import, by reading the imports and by importing for real.

The layers themselves are import-linter's (``make contract``, pyproject.toml); here is what it does
not say: which libraries the core may use, also inside functions, and what an import drags in.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"
PACKAGE = SRC / "sglite"

CORE = ("scheduler", "kvcache", "engine", "models", "attention", "kernels", "sampling")
CORE_MODULES = ("request", "errors", "config*", "bench/gpu_suite*")
CORE_LIBRARIES = frozenset({"numpy", "torch", "safetensors", "tokenizers", "transformers"})
# A library that one place of the core may use besides, inside a function.
BESIDES = {
    "config_sources.py": {"yaml"},  # a config file in YAML, read with safe_load
    "models/hub.py": {"huggingface_hub", "modelscope"},  # a model named by its id
    "models/load_progress.py": {"rich"},  # a bar while weights load, on a terminal alone
}
# Only the kernels know what compiles them.
KERNEL_LIBRARIES = frozenset({"triton", "flashinfer", "flash_attn", "_sglite_cpu"})
# Loaded when first needed: start-up counts.
LAZY_LIBRARIES = frozenset(
    {"transformers", "rich", "prompt_toolkit", "huggingface_hub", "modelscope", "triton"}
)

PURE = (
    "sglite",
    "sglite.request",
    "sglite.errors",
    "sglite.config",
    "sglite.scheduler",
    "sglite.scheduler.scheduler",
    "sglite.kvcache",
    "sglite.kvcache.radix_tree",
    "sglite.kvcache.page_allocator",
    "sglite.kvcache.cache_manager",
    "sglite.observability",
)


def files(*patterns: str) -> list[Path]:
    return sorted({path for pattern in patterns for path in PACKAGE.glob(pattern)})


def core_files() -> list[Path]:
    return files(*(f"{name}/**/*.py" for name in CORE), *(f"{name}.py" for name in CORE_MODULES))


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """``(top-level name, line)`` of every import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


def imports_at_load(tree: ast.AST) -> Iterator[str]:
    """Top-level names imported when the module is: not in functions, not for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (name for name, _ in imports(node))
        yield from imports_at_load(node)


def foreign_imports(source: str, allowed: frozenset[str] | set[str]) -> list[str]:
    """Imports of ``source`` that are neither allowed, nor sglite's, nor the standard library's."""
    known = allowed | set(sys.stdlib_module_names) | {"sglite"}
    return [f"{name} (line {n})" for name, n in imports(ast.parse(source)) if name not in known]


def loaded_after(statement: str) -> set[str]:
    """Names in ``sys.modules`` of a fresh interpreter after ``statement``."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("path", core_files(), ids=relative)
def test_core_uses_few_libraries(path):
    extra = BESIDES.get(relative(path), set())
    if relative(path).startswith("kernels/"):
        extra = extra | KERNEL_LIBRARIES
    assert not foreign_imports(path.read_text(), CORE_LIBRARIES | extra)


@pytest.mark.parametrize("path", files("**/*.py"), ids=relative)
def test_kernels_alone_know_their_compilers(path):
    if relative(path).startswith("kernels/"):
        return
    names = {name for name, _ in imports(ast.parse(path.read_text()))}
    assert not names & KERNEL_LIBRARIES


@pytest.mark.parametrize("path", files("**/*.py"), ids=relative)
def test_slow_libraries_are_imported_where_they_are_used(path):
    if path.name.startswith("triton_"):  # a kernel's own module, which its package imports late
        return
    assert not LAZY_LIBRARIES & set(imports_at_load(ast.parse(path.read_text())))


def test_deciding_loads_no_torch():
    loaded = loaded_after("\n".join(f"import {name}" for name in PURE))
    assert not loaded & {"torch", "numpy", "transformers", "tokenizers", "safetensors"}


def test_batch_of_the_model_loads_no_engine():
    loaded = loaded_after("import sglite.executors.forward_batch")
    engine = {name for name in loaded if name.startswith(("sglite.engine", "sglite.executors."))}
    assert engine == {"sglite.executors.forward_batch"}


def test_package_exports_are_looked_up_when_used():
    assert not {"torch", "sglite.llm", "sglite.request"} & loaded_after("import sglite")
    assert "sglite.request" in loaded_after("from sglite import SamplingParams")


def test_an_unknown_export_is_an_attribute_error():
    import sglite

    with pytest.raises(AttributeError, match="no attribute 'Llm'"):
        _ = sglite.Llm
    assert "LLM" in dir(sglite)


def test_exceptions_are_used():
    for path, libraries in BESIDES.items():
        names = {name for name, _ in imports(ast.parse((PACKAGE / path).read_text()))}
        assert libraries <= names, f"{path} no longer imports {libraries - names}; drop the entry"


def test_forbidden_imports_are_noticed():
    source = "import rich\ndef f():\n    from pydantic import BaseModel\n    import torch"
    assert foreign_imports(source, CORE_LIBRARIES) == ["rich (line 1)", "pydantic (line 3)"]
    assert set(imports_at_load(ast.parse(source))) == {"rich"}
    assert "torch" in loaded_after("import torch")
