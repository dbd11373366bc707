import json
import shutil

import pytest

from sglite.cli import eval as eval_command
from sglite.cli import main
from sglite.config import EngineConfig
from sglite.embedded import EMBEDDED_MODEL_DIR
from tests.cli.real_model import make_tiny_model
from tests.evaluation.fakes import ScriptedLLM, write_lines


def line(kind, prompt, answer):
    return json.dumps({"kind": kind, "prompt": prompt, "answer": answer})


ROWS = [line("sums", "1+1=", "2"), line("sums", "1+2=", "3"), line("words", "say a", "a")]


@pytest.fixture
def questions(tmp_path):
    return str(write_lines(tmp_path / "q.jsonl", *ROWS))


@pytest.fixture
def engines(monkeypatch):
    """The engines that were opened, the main model's first; it answers by its script."""
    opened = []
    script = {"1+1=": "2", "1+2=": "3", "say a": "a"}

    def make_llm(model, options):
        assert not any(engine.is_open for engine in opened), "two copies of the weights at once"
        opened.append(ScriptedLLM(script, config=EngineConfig(model_path=model, **options)))
        return opened[-1]

    monkeypatch.setattr("sglite.cli.engine.make_llm", make_llm)
    make_llm.script = script
    make_llm.opened = opened
    return make_llm


def test_right_answers_end_with_0(engines, questions, capsys):
    assert main(["eval", questions, "--model", "m", "--dtype", "float32"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[3].split() == ["total", "3", "3", "100.0", "%"]
    assert "3 answers in" in out and "below" not in out
    assert engines.opened[0].config.model_path == "m"
    assert engines.opened[0].config.dtype == "float32"


def test_kind_that_falls_short_ends_with_1(engines, questions, capsys):
    engines.script["1+2="] = "4"
    assert main(["eval", questions, "--show", "1"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("wrong: sums, line 2: '1+2='\n  expected '3'\n  answered '4'")
    assert out.endswith("below 90 %: sums (1 of 2)\n")
    assert main(["eval", questions]) == 1
    assert "wrong" not in capsys.readouterr().out


def test_kinds_and_number_can_be_chosen(engines, questions, capsys):
    engines.script["1+2="] = "4"
    assert main(["eval", questions, "--kind", "sums", "--limit", "1"]) == 0
    assert "1 answers" in capsys.readouterr().out
    assert main(["eval", questions, "--kind", "words", "--kind", "sums"]) == 1
    assert "3 answers" in capsys.readouterr().out


def test_figures_are_written(engines, questions, tmp_path):
    assert main(["eval", questions, "--json", str(tmp_path / "figures.json")]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["kinds"]["sums"] == {"right": 2, "asked": 2, "percent": 100.0}


def test_draft_lies_in_the_folder_of_the_model(engines, questions, tmp_path, capsys):
    words = ["eval", questions, "--model", str(tmp_path), "--draft", "--dtype", "float32"]
    (tmp_path / "draft").mkdir()
    assert main([*words, "--kind", "words"]) == 0
    main_config, draft_config = (engine.config for engine in engines.opened)
    assert draft_config.model_path == str(tmp_path / "draft")
    assert draft_config.skip_tokenizer_init and draft_config.dtype == main_config.dtype
    capsys.readouterr()
    assert main(words) == 1
    assert "the draft model agrees on 33.33 % of the tokens" in capsys.readouterr().out


def test_perplexity_is_measured_where_it_is_asked_for(engines, questions, capsys):
    assert main(["eval", questions, "--perplexity"]) == 0
    assert capsys.readouterr().out.endswith("perplexity of the right answers: 2.7183\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to ask: sglite eval embedded, or sglite eval FILE.jsonl"),
        (["gone.jsonl"], "gone.jsonl: No such file or directory"),
        (["FILE", "--kind", "sum"], "has no kind 'sum'; choose from sums, words"),
        (["FILE", "--limit", "0"], "--limit: '0' is not allowed; give an integer, at least 1"),
        (["FILE", "--limit", ""], "--limit: '' is not allowed; give an integer, at least 1"),
        (["FILE", "--show", "x"], "--show: 'x' is not allowed; give an integer, at least 0"),
        (["FILE", "--json", "gone/f.json"], "--json: gone/f.json cannot be written"),
        (["FILE", "--model", "FOLDER", "--draft"], "--draft: there is no draft model"),
    ],
)
def test_bad_usage_is_one_message_before_anything_is_loaded(
    engines, questions, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    places = {"FILE": questions, "FOLDER": str(tmp_path)}
    assert main(["eval", *(places.get(word, word) for word in words)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("sglite eval: ") and message in err and err.count("\n") == 1
    assert engines.opened == []


def test_figures_that_cannot_be_written_are_a_message(monkeypatch, engines, questions, capsys):
    monkeypatch.setattr(eval_command, "check_json_file", lambda name: EMBEDDED_MODEL_DIR)
    assert main(["eval", questions, "--json", "x"]) == 2
    assert "Is a directory" in capsys.readouterr().err


def test_embedded_questions_are_those_that_ship(engines, questions, monkeypatch):
    monkeypatch.setattr(eval_command, "EMBEDDED_FILE", eval_command.find_file(questions))
    assert main(["eval", "embedded"]) == 0
    assert engines.opened[0].config.model_path is None


def test_embedded_model_answers_a_question(tmp_path, capsys):
    from sglite.tokenizer.loading import load_tokenizer

    question = "What is the capital of France?"
    prompt = load_tokenizer(EMBEDDED_MODEL_DIR).render_chat([{"role": "user", "content": question}])
    row = line("capitals", prompt, "The capital of France is Paris.")
    path = write_lines(tmp_path / "q.jsonl", row)
    assert main(["eval", str(path), "--max-total-tokens", "2048"]) == 0, capsys.readouterr().out


def test_real_model_agrees_with_itself_on_every_token(tmp_path, capsys):
    model = make_tiny_model(tmp_path / "model")
    shutil.copytree(model, tmp_path / "draft")
    shutil.move(tmp_path / "draft", tmp_path / "model" / "draft")
    rows = [line(f"kind {i % 2}", "a long prompt " * i, "an answer " * i) for i in range(1, 5)]
    path = write_lines(tmp_path / "q.jsonl", *rows)
    words = ["--page-size", "4", "--max-total-tokens", "4096", "--dtype", "float32"]
    assert main(["eval", str(path), "--model", model, "--draft", *words]) == 1, "it knows nothing"
    rows = capsys.readouterr().out.splitlines()[1:4]
    assert [row.split()[-2:] for row in rows] == [["100.0", "%"]] * 3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_embedded_model_answers_nine_of_ten(tmp_path, capsys, dtype):
    figures_file = tmp_path / "figures.json"
    options = ["--draft", "--dtype", dtype, "--show", "2", "--json", str(figures_file)]
    code = main(["eval", "embedded", *options])
    assert code == 0, capsys.readouterr().out
    figures = json.loads(figures_file.read_text())
    percent = {name: kind["percent"] for name, kind in figures["kinds"].items()}
    exact = ("arithmetic", "capitals", "json", "sorting", "strings", "tool_calls")
    assert all(percent[name] >= 90 for name in (*exact, "guide")), percent
    assert min(percent.values()) >= 70, percent
    assert figures["draft_agreement"]["total"] >= 60
