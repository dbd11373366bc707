"""The caps on sizes fire, and the tree keeps to them."""

from __future__ import annotations

import pytest

from tools import sizes


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Measures a source text as if it lay at the given place of the package."""
    monkeypatch.setattr(sizes, "PACKAGE", tmp_path)

    def measure(source: str, path: str = "engine/a.py") -> list[str]:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
        return [what for _, what in sizes.broken_caps(sizes.measure(file))]

    return measure


def body(lines: int, indent: str = "    ") -> str:
    return "".join(f"{indent}x = {i}\n" for i in range(lines))


def test_file_over_its_cap_is_noticed(measured):
    assert measured(body(400, "")) == []
    assert measured(body(401, "")) == ["401 lines, cap 400"]
    assert measured(body(500, ""), "kernels/a.py") == []


def test_function_over_its_cap_is_noticed(measured):
    assert measured("def f():\n" + body(49)) == []
    assert measured("def f():\n" + body(50)) == ["51 lines, cap 50"]
    assert measured("def f():\n" + body(50), "kernels/a.py") == []


def test_docstring_does_not_make_a_function_long(measured):
    words = '    """\n' + "    word\n" * 60 + '    """\n'
    assert measured("def f():\n" + words + body(49)) == []


def test_positional_parameters_are_counted_without_self(measured):
    assert measured("class A:\n    def f(self, a, b, c, d, e, *, g): ...") == []
    assert measured("def f(a, b, c, d, e, g): ...") == ["6 positional parameters, cap 5"]


def test_deep_nesting_is_noticed_and_elif_is_flat(measured):
    deep = "def f():\n  for a in b:\n    if a:\n      while a:\n        if b:\n          pass\n"
    assert measured(deep) == ["blocks nested 4 deep, cap 3"]
    flat = "def f(a):\n  if a == 1: pass\n" + "".join(
        f"  elif a == {i}: pass\n" for i in range(2, 8)
    )
    assert measured(flat) == []


def test_class_with_too_many_verbs_is_noticed(measured):
    methods = "".join(f"    def f{i}(self): ...\n" for i in range(13))
    assert measured("class A:\n" + methods) == ["13 methods, cap 12"]
    properties = "".join(f"    @property\n    def f{i}(self): ...\n" for i in range(13))
    assert measured("class A:\n" + properties) == []


def test_an_exception_needs_its_record_and_ends_with_its_cause(monkeypatch):
    monkeypatch.setattr(sizes, "ALLOWED", {"engine/none.py": "docs/adr/9999-none.md"})
    assert sizes.problems([]) == [
        "engine/none.py: allowed, but within its cap; drop the entry",
        "docs/adr/9999-none.md: named as the reason of an exception, not there",
    ]


def test_tree_keeps_to_its_caps():
    files = [sizes.measure(path) for path in sorted(sizes.PACKAGE.rglob("*.py"))]
    assert files
    assert not sizes.problems(files)
