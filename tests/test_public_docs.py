"""Every public name says what it is, and what the pages name exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sglite.cli.entry import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "sglite"
FILES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/*.md")])
LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#\s]+)")

# Each package on a request's path says where it stands, in this order.
STEP_WORDS = ("of 8", "receives", "hands on", "does not know about")
STEPS = ("tokenizer", "scheduler", "kvcache", "engine", "models", "sampling")

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public modules, classes, functions and methods without a docstring."""
    if not ast.get_docstring(tree):
        yield "the module"
    yield from undocumented_names(tree, "")


def undocumented_names(parent: ast.AST, prefix: str) -> Iterator[str]:
    """The same for the names inside a module or class; functions inside functions are private."""
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.If | ast.Try):
            yield from undocumented_names(node, prefix)
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") or is_overload(node):
            continue
        if not ast.get_docstring(node):
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from undocumented_names(node, f"{prefix}{node.name}.")


def is_overload(node: ast.AST) -> bool:
    """True for a typing overload or a property's setter: the first definition has the words."""
    names = [ast.unparse(item) for item in getattr(node, "decorator_list", [])]
    return any(name.endswith(("overload", ".setter")) for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_public_names_are_documented(path):
    missing = list(undocumented(ast.parse(path.read_text())))
    assert not missing, f"no docstring: {', '.join(missing)}"


@pytest.mark.parametrize("name", STEPS)
def test_package_says_what_it_receives_and_hands_on(name):
    init = PACKAGE / name / "__init__.py"
    words = " ".join((ast.get_docstring(ast.parse(init.read_text())) or "").lower().split())
    places = [words.find(word) for word in STEP_WORDS]
    assert -1 not in places and places == sorted(places), f"{init} must say: {STEP_WORDS}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = [match["target"] for match in LINK.finditer(page.read_text())]
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_readme_lists_the_commands_there_are():
    listed = re.findall(r"^\| `sglite ([a-z-]+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_readme_snippets_are_python_that_parses():
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert snippets
    for snippet in snippets:
        ast.parse(snippet)


def test_missing_docstrings_are_noticed():
    source = "'M.'\nclass A:\n    'A.'\n    def f(self): ...\n    def _g(self): ...\ndef h(): ..."
    assert list(undocumented(ast.parse(source))) == ["A.f", "h"]
    assert list(undocumented(ast.parse("x = 1"))) == ["the module"]
