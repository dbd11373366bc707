import pytest

from sglite.cli import main
from sglite.request import FinishReason
from tests.cli.real_model import make_tiny_model


def run(capsys, *words):
    code = main(["smoke", "--model", "m", *words])
    return code, [line.split()[:2] for line in capsys.readouterr().out.splitlines()]


def test_every_check_holds_for_an_engine_that_works(llm, capsys):
    code, lines = run(capsys, "tell me something")
    assert code == 0
    assert lines == [["ok", name] for name in ("text", "repeat", "stream", "batch", "abort")]
    assert llm.calls[0][1][0][-1]["content"] == "tell me something"
    assert llm.calls[0][2].max_new_tokens == 32 and llm.calls[0][2].is_greedy


def failures(lines):
    return [name for verdict, name in lines if verdict == "FAILED"]


def test_the_repeated_prompt_fills_three_pages(llm, capsys):
    assert run(capsys, "hi")[0] == 0
    repeated = [call[1][0][-1]["content"] for call in llm.calls[1:3]]
    assert repeated[0] == repeated[1] == " ".join(["hi"] * 17)


def test_the_repeated_prompt_fits_a_short_context(llm, capsys):
    run(capsys, "hi", "--context-length", "100")
    assert llm.calls[1][1][0][-1]["content"] == "hi"


@pytest.mark.parametrize(
    ("faults", "failed"),
    [
        ({"answer": lambda prompt: " "}, ["text", "batch"]),
        ({"finish_reason": FinishReason.ERROR}, ["text"]),
        ({"caches": False}, ["repeat"]),
        ({"flush_cache": lambda: False}, ["abort"]),
    ],
)
def test_each_fault_is_found(llm, capsys, faults, failed):
    for name, value in faults.items():
        setattr(llm, name, value)
    code, lines = run(capsys)
    assert (code, failures(lines)) == (1, failed)


def test_other_tokens_on_repeat_are_found(llm, capsys):
    texts = iter(["one", "one", "two", "one", *["one"] * 9])
    llm.answer = lambda prompt: next(texts)
    assert failures(run(capsys)[1]) == ["repeat"]


@pytest.mark.parametrize(
    "words",
    [
        ["--disable-radix-cache"],
        ["--radix-cache-max-prompt-tokens", "8"],
        ["--radix-cache-max-tokens", "0"],
    ],
)
def test_no_cache_hit_is_asked_where_there_can_be_none(llm, capsys, words):
    llm.caches = False
    assert run(capsys, *words)[0] == 0


@pytest.mark.parametrize("words", [["--max-new-tokens", "0"], ["--skip-tokenizer-init"]])
def test_bad_usage(llm, capsys, words):
    assert run(capsys, *words) == (2, [])


def test_real_engine_passes_every_check(tmp_path, capsys):
    pytest.importorskip("sglite.llm")
    model = make_tiny_model(tmp_path)
    words = ["--page-size", "4", "--max-total-tokens", "512", "--check"]
    assert main(["smoke", "--model", model, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 5
