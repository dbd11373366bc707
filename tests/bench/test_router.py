"""The benchmark's load is what it says."""

from __future__ import annotations

import pytest

from sglite.bench import router as bench
from sglite.cli.parser import CommandParser
from sglite.errors import ConfigError


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "NUM_STARTS", 20)
    monkeypatch.setattr(bench, "BATCH", 20)
    monkeypatch.setattr(bench, "OPEN_PER_ENGINE", 4)


def test_load_stays_as_stated_and_prefixes_are_found(small: None) -> None:
    load = bench.Load(3, 32_000)
    index = load.router.index
    assert index.num_known > 3 * 32_000 / bench.PAGE_SIZE / 2
    timing = load.run(60)
    assert 0 < timing.median_us <= timing.p90_us
    assert timing.hash_us > 0 and timing.per_second > 0
    assert sum(each.num_requests for each in load.router.loads()) == 3 * 4
    hashes = bench.page_hashes(load.starts[0], bench.PAGE_SIZE)
    depth, engines = index.deepest(hashes)
    assert depth == bench.SHARED_TOKENS // bench.PAGE_SIZE and engines


def test_the_figures_are_printed(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--engines", "2", "--cached-tokens", "4000", "--decisions", "20"]
    assert bench.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 engines with 4,000 cached tokens each, cache_aware"
    names = [line.split()[0] for line in lines[1:]]
    assert names == ["decisions", "one", "its", "digest", "memory"]


@pytest.mark.parametrize("words", [["--engines", "0"], ["--decisions", "x"], ["--engine", "1"]])
def test_bad_words_are_refused_as_by_every_command(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=words[0]):
        bench.main(words, parser_class=CommandParser)
