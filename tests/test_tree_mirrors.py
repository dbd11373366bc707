"""Tests and modules lie opposite each other: ``tests/a/test_b.py`` tests ``src/sglite/a/b.py``.

A folder beside ``src`` has its tests in ``tests`` under its own name, and a helper of the tests has
them beside it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sglite"
TESTS = ROOT / "tests"

# Tests about the repository or about the parts together.
WITHOUT_A_MODULE = {
    "engine/test_engine_parity.py": "the engine's parts together, against transformers",
    "engine/test_engine_sampling.py": "sampled answers whatever scheduler and executor do",
    "engine/test_shared_prefix.py": "scheduler, cache and executor together",
    "grammar/test_always_valid.py": "backend, ends and constraint together",
    "kernels/cpu/test_attention.py": "kernels/cpu/attention.h and attention_plan.cpp",
    "kernels/cpu/test_linear.py": "kernels/cpu/linear.h, rows.h and pack.cpp",
    "kernels/cpu/test_sample.py": "kernels/cpu/sample.h",
    "kernels/cpu/test_shared_ranks.py": "kernels/cpu/shared_ranks.cpp",
    "lang/test_constrained.py": "programs and grammars together",
    "models/test_shares.py": "decoders of several ranks together, against one",
    "models/test_bad_model_directory.py": "everything that reads a model directory",
    "ranks/test_rank_agreement.py": "ranks as processes: T14",
    "ranks/test_rank_parity.py": "tokens of several ranks against one",
    "test_import_contract.py": "the layers of the whole package",
    "test_public_docs.py": "docstrings of the whole package",
    "test_sizes.py": "tools/sizes.py",
    "test_static_bans.py": "tools/static_bans.py",
    "test_tree_mirrors.py": "this file",
}
# Folders whose tests are about the parts together, or about pages.
WITHOUT_A_PACKAGE = {"e2e", "docs"}

# Modules with logic that have no test file of their own, and what tests them instead.
TESTED_ELSEWHERE = {
    "__init__.py": "tests/test_import_contract.py",
    "kernels/page_copy/triton_page_copy.py": "tests/kernels/page_copy/test_page_copy.py",
    "kernels/page_table/triton_page_table.py": "tests/kernels/page_table/test_page_table.py",
    "kernels/rotary_store/reference.py": "tests/kernels/rotary_store/test_rotary_store.py",
    "kernels/step_inputs/reference.py": "tests/kernels/step_inputs/test_step_inputs.py",
    "kernels/step_inputs/triton_step_inputs.py": "tests/kernels/step_inputs/test_step_inputs.py",
    "parsing/findings.py": "tests/parsing/test_tape.py",
    "parsing/json_calls.py": "tests/parsing/test_hermes.py",
    "parsing/pythonic_grammar.py": "tests/parsing/test_tool_grammar.py",
    "parsing/words.py": "tests/parsing/test_hermes.py",
    "executors/lane_executor.py": "tests/ranks/test_joint_ranks.py",
    "ranks/followers.py": "tests/ranks/test_rank_launcher.py",
    "ranks/laned_assembly.py": "tests/ranks/test_joint_ranks.py",
    "ranks/channel.py": "tests/ranks/test_messages.py",
    "ranks/leadership.py": "tests/ranks/test_rank_launcher.py",
    "ranks/node.py": "tests/ranks/test_rank_launcher.py",
    "ranks/rank_process.py": "tests/ranks/test_rank_launcher.py",
    "ranks/rank_start.py": "tests/ranks/test_rank_launcher.py",
    "ranks/rank_worker.py": "tests/ranks/test_rank_launcher.py",
    "router_server/passed_on.py": "tests/router_server/test_proxy.py",
    "server/api_worker.py": "tests/server/test_api_workers.py",
    "server/front_factory.py": "tests/server/test_launch.py",
    "server/http/routes.py": "tests/server/test_app.py",
}


def all_test_files() -> list[Path]:
    return sorted(path.relative_to(TESTS) for path in TESTS.rglob("test_*.py"))


def modules() -> list[Path]:
    return sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def is_tested(module: Path, tests: set[Path]) -> bool:
    """True where ``a/b.py`` has ``a/test_b.py`` and a package's own code ``a/test_a.py``."""
    if module.name == "__init__.py":
        folder = module.parent
        own = {folder / f"test_{folder.name}.py", folder / "test_init.py"}
        return bool(own & tests) or folder.parent / f"test_{folder.name}.py" in tests
    return module.with_name(f"test_{module.name}") in tests


def candidates(test: Path) -> list[Path]:
    """The modules that ``test`` may belong to."""
    name = test.name.removeprefix("test_")
    stem = name.removesuffix(".py")
    return [
        PACKAGE / test.with_name(name),
        PACKAGE / test.parent / stem / "__init__.py",
        *([PACKAGE / test.parent / "__init__.py"] if stem in {test.parent.name, "init"} else []),
        *([ROOT / test.with_name(name)] if len(test.parts) > 1 else []),
        TESTS / test.with_name(name),
    ]


def has_logic(source: str) -> bool:
    """True where some function decides or repeats something; data and re-exports have none."""
    decides = (ast.If, ast.For, ast.While, ast.IfExp, ast.Try, ast.comprehension, ast.Match)
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return any(isinstance(inner, decides) for node in functions for inner in ast.walk(node))


@pytest.mark.parametrize("test", all_test_files(), ids=str)
def test_test_file_has_its_module(test):
    if test.parts[0] in WITHOUT_A_PACKAGE or str(test) in WITHOUT_A_MODULE:
        return
    wanted = [str(path.relative_to(ROOT)) for path in candidates(test)]
    assert any((ROOT / path).is_file() for path in wanted), f"tests/{test} tests none of {wanted}"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_module_with_logic_has_its_test(module):
    if not has_logic((PACKAGE / module).read_text()):
        return
    if is_tested(module, set(all_test_files())):
        assert str(module) not in TESTED_ELSEWHERE, f"{module} has its own test; drop the entry"
        return
    assert str(module) in TESTED_ELSEWHERE, f"src/sglite/{module} decides things and has no test"


def test_lists_name_files_that_exist():
    assert all((TESTS / name).is_file() for name in WITHOUT_A_MODULE)
    assert all((PACKAGE / name).is_file() for name in TESTED_ELSEWHERE)
    assert all((ROOT / name).is_file() for name in TESTED_ELSEWHERE.values())


def test_a_stray_test_and_an_untested_module_are_noticed():
    assert not any(path.is_file() for path in candidates(Path("kvcache/test_rdx.py")))
    assert any(path.is_file() for path in candidates(Path("kvcache/test_radix_tree.py")))
    assert is_tested(Path("a/b.py"), {Path("a/test_b.py")})
    assert not is_tested(Path("a/b.py"), {Path("a/test_c.py"), Path("test_b.py")})
    assert has_logic("def f(x):\n    if x: return 1")
    assert not has_logic("class A:\n    x: int = 1\n\ndef f(x): return x")
