import json
import sys

import pytest

from sglite.cli import main
from sglite.models.generation_config import GenerationDefaults
from sglite.request import FinishReason, SamplingParams, TokenLogprobs
from tests.cli.real_model import make_tiny_model


def test_one_prompt_streams_its_answer_and_tells_a_terminal_the_rest(llm, capsys, monkeypatch):
    assert main(["generate", "--model", "m", "--prompt", "hello"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("echo hello\n", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["generate", "--model", "m", "--prompt", "hello"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "echo hello\n"
    assert captured.err == ("latency=0.50s tokens=10 prompt=5 cached=0 tokens/s=20.0 finish=stop\n")
    assert llm.is_closed


def test_chat_template_is_applied_unless_raw(llm):
    main(["generate", "--model", "m", "--prompt", "hi", "--system", "be brief"])
    main(["generate", "--model", "m", "--prompt", "hi", "--raw"])
    messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert llm.calls[0][:2] == ("chat_stream", messages)
    assert llm.calls[1][:2] == ("stream", "hi")


def test_model_without_template_continues_the_text(llm):
    llm.__init__(has_chat_template=False)
    assert main(["generate", "--model", "m", "--prompt", "hi"]) == 0
    assert llm.calls[0][0] == "stream"
    assert main(["generate", "--model", "m", "--prompt", "hi", "--system", "x"]) == 2


def test_sampling_comes_from_the_model_and_a_chat_may_take_the_context(llm):
    llm.generation_defaults = GenerationDefaults(temperature=0.6)
    main(["generate", "--model", "m", "--prompt", "a"])
    main(["generate", "--model", "m", "--prompt", "a", "--raw", "--temperature", "0"])
    assert llm.calls[0][2] == SamplingParams(temperature=0.6, max_new_tokens=None)
    assert llm.calls[1][2] == SamplingParams(temperature=0.0, max_new_tokens=128)


def test_several_prompts_are_answered_in_order(llm, capsys):
    assert main(["generate", "--model", "m", "--prompt", "a", "--prompt", "b"]) == 0
    assert capsys.readouterr().out == "echo a\necho b\n"


def test_standard_input_is_one_prompt(llm, stdin):
    stdin("two\nlines\n")
    assert main(["generate", "--model", "m"]) == 0
    assert llm.calls[0][1][-1]["content"] == "two\nlines"


def test_lines_of_standard_input_are_prompts(llm, stdin, capsys):
    stdin("a\nb\n")
    assert main(["generate", "--model", "m", "--lines"]) == 0
    assert capsys.readouterr().out == "echo a\necho b\n"


def test_empty_line_would_shift_the_answers_and_is_refused(llm, stdin, capsys):
    stdin("a\n\nb\n")
    assert main(["generate", "--model", "m", "--lines"]) == 2
    assert "line 2 of standard input is empty" in capsys.readouterr().err


@pytest.mark.parametrize(("is_terminal", "out"), [(True, "\n"), (False, "")])
def test_ctrl_c_leaves_a_terminal_at_a_new_line(llm, capsys, monkeypatch, is_terminal, out):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    llm.error = KeyboardInterrupt()
    assert main(["generate", "--model", "m", "--prompt", "a"]) == 130
    assert capsys.readouterr().out == out


def test_no_prompt_is_refused_before_a_model_is_loaded(llm, stdin, capsys):
    stdin(" \n")
    assert main(["generate", "--model", "m"]) == 2
    assert capsys.readouterr().err == "sglite generate: no prompt: standard input is empty\n"
    assert not llm.is_closed


def test_token_ids_are_a_prompt_too(llm, capsys):
    assert main(["generate", "--model", "m", "--input-ids", "1, 2 3", "--json"]) == 0
    assert llm.calls[0][:2] == ("generate", [[1, 2, 3]])
    assert main(["generate", "--input-ids", "1,x"]) == 2
    assert main(["generate", "--input-ids", "1", "--prompt", "a"]) == 2


def test_json_is_an_object_for_one_answer_and_a_list_for_several(llm, capsys):
    main(["generate", "--model", "m", "--prompt", "a", "--json"])
    main(["generate", "--model", "m", "--prompt", "a", "--n", "2", "--json"])
    one, several = capsys.readouterr().out.splitlines()
    assert json.loads(one)["text"] == "echo a"
    assert json.loads(one)["meta_info"]["finish_reason"] == {"type": "stop", "matched": 2}
    assert [answer["text"] for answer in json.loads(several)] == ["echo a", "echo a"]


def test_n_answers_of_one_prompt_are_all_printed(llm, capsys):
    assert main(["generate", "--model", "m", "--prompt", "a", "--n", "2"]) == 0
    assert capsys.readouterr().out == "echo a\necho a\n"


def test_logprob_flags_reach_the_engine_and_the_json(llm, capsys, monkeypatch):
    make = type(llm)._generation

    def with_logprobs(self, prompt, sampling):
        generation = make(self, prompt, sampling)
        generation.logprobs = [TokenLogprobs(ord("e"), -0.5, top=((ord("e"), -0.5),))]
        return generation

    monkeypatch.setattr(type(llm), "_generation", with_logprobs)
    words = ["--return-logprob", "--logprob-start-len", "0", "--top-logprobs-num", "1"]
    words += ["--token-ids-logprob", "7,8", "--return-text-in-logprobs"]
    assert main(["generate", "--model", "m", "--prompt", "a", "--json", *words]) == 0
    assert llm.calls[0][3] == {
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": 1,
        "token_ids_logprob": [7, 8],
    }
    meta = json.loads(capsys.readouterr().out)["meta_info"]
    assert meta["output_token_logprobs"] == [[-0.5, ord("e"), "e"]]
    assert main(["generate", "--prompt", "a", "--top-logprobs-num", "many"]) == 2


def test_minus_one_asks_for_no_prompt_logprobs(llm):
    main(["generate", "--model", "m", "--prompt", "a", "--json", "--logprob-start-len", "-1"])
    assert llm.calls[0][3]["logprob_start_len"] is None and llm.calls[0][3]["return_logprob"]


def test_logprobs_without_json_are_refused(capsys):
    assert main(["generate", "--prompt", "a", "--top-logprobs-num", "2"]) == 2
    assert "shown with --json" in capsys.readouterr().err


def test_answer_that_was_cut_by_an_error_is_a_failure(llm, capsys):
    llm.finish_reason = FinishReason.ERROR
    assert main(["generate", "--model", "m", "--prompt", "a"]) == 1
    assert main(["generate", "--model", "m", "--prompt", "a", "--json"]) == 1
    assert "finish=error" in capsys.readouterr().err


def test_options_reach_the_engine(llm):
    main(["generate", "--model", "m", "--prompt", "a", "--page-size", "4", "--log-level", "error"])
    assert (llm.config.model_path, llm.config.page_size) == ("m", 4)
    assert llm.config.log_level == "error"


def test_bytes_that_are_no_text_are_refused(llm, monkeypatch, capsys):
    import io

    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    assert main(["generate", "--model", "m"]) == 2
    assert "standard input is not UTF-8 (byte 0xff at 0)" in capsys.readouterr().err
    assert main(["generate", "--model", "m", "--prompt", "é\udcff"]) == 2
    assert "--prompt is not UTF-8 (byte 0xff at 2)" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["warning", "info"])
def test_prompts_are_never_logged(llm, capsys, level):
    main(["generate", "--model", "m", "--prompt", "secret", "--raw", "--log-level", level])
    assert "secret" not in capsys.readouterr().err


def test_real_engine_answers_in_sglangs_shape(tmp_path, capsys):
    pytest.importorskip("sglite.llm")
    model = make_tiny_model(tmp_path)
    words = ["--temperature", "0", "--max-new-tokens", "8", "--ignore-eos", "--max-total-tokens"]
    words += ["512", "--top-logprobs-num", "2", "--json", "--return-text-in-logprobs"]
    assert main(["generate", "--model", model, "--prompt", "a", "--prompt", "b", *words]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 2
    for answer in answers:
        meta = answer["meta_info"]
        assert len(answer["output_ids"]) == meta["completion_tokens"] == 8
        assert meta["finish_reason"] == {"type": "length", "length": 8}
        triples = meta["output_token_logprobs"]
        assert [triple[1] for triple in triples] == answer["output_ids"]
        assert [top[0][1] for top in meta["output_top_logprobs"]] == answer["output_ids"]
        assert all(isinstance(triple[2], str) for triple in triples)
