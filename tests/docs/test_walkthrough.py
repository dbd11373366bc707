"""The pages show what their snippets print, and the tool that writes them does what it says."""

from __future__ import annotations

import re

import pytest

from tools import walkthrough
from tools.walkthrough import Block, WalkthroughError, fill_in, find_blocks, make_script, run_script

NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
DOCS = walkthrough.ROOT / "docs"

PAGE = """\
text

```python
x = 2
print("a", x)
```

```text
old
older
```

```python
x += 1
```

```console
$ sglite --version
stale
```
""".splitlines()


def assert_same_page(shown: str, printed: str, name: str) -> None:
    """Equal but for decimals, which may differ in their last place between processors."""
    advice = f"{name} does not show what its snippets print; run: python -m tools.walkthrough"
    for line, expected in zip(shown.splitlines(), printed.splitlines(), strict=False):
        assert NUMBER.sub("#", line) == NUMBER.sub("#", expected), advice
        numbers = [float(number) for number in NUMBER.findall(line)]
        assert numbers == pytest.approx([float(n) for n in NUMBER.findall(expected)], abs=0.05)
    assert len(shown.splitlines()) == len(printed.splitlines()), advice


def test_pages_and_picture_show_what_the_snippets_print():
    for path, text in walkthrough.regenerate().items():
        assert_same_page(path.read_text(encoding="utf-8"), text, path.name)


def test_a_stale_value_is_noticed():
    assert_same_page("p = 0.781 of 7", "p = 0.782 of 7", "page")
    for stale in ("p = 0.781 of 8", "p = 0.9 of 7", "p = 0.782 of 7\nmore"):
        with pytest.raises(AssertionError):
            assert_same_page(stale, "p = 0.782 of 7", "page")


def test_outputs_replace_what_stood_there_and_nothing_else():
    blocks = find_blocks(PAGE)
    assert [block.language for block in blocks] == ["python", "text", "python", "console"]
    page = fill_in(PAGE, blocks, ["a 2\n", "", "sglite 9\n"])
    changed = [line for line in page if line not in PAGE]
    assert changed == ["a 2", "sglite 9"]
    assert not {"old", "older", "stale"} & set(page)
    assert len(page) == len(PAGE) - 1


def test_output_that_the_page_does_not_show_is_refused():
    with pytest.raises(WalkthroughError, match="prints; show it: hidden"):
        fill_in(PAGE, find_blocks(PAGE), ["a 2\n", "hidden", ""])


def test_snippets_share_one_interpreter_and_each_has_its_output():
    lines = ["x = 20", "print(x + 1)", "print(f'\"e2e_latency\": {x / 7}')"]
    blocks = [Block("python", 0, 1), Block("python", 1, 2), Block("python", 2, 3)]
    outputs = run_script(make_script(lines, blocks), DOCS / "page.md")
    assert outputs == ["", "21\n", '"e2e_latency": …\n']


def test_a_failing_snippet_is_named_with_its_page():
    with pytest.raises(WalkthroughError, match=r"page\.md: a snippet failed[\s\S]*no_such_name"):
        run_script("print(no_such_name)", DOCS / "page.md")


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    text = page.read_text(encoding="utf-8")
    targets = [target for target in LINK.findall(text) if not target.startswith("http")]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to {missing}"
