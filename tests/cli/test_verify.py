import pytest

from sglite.cli import main, verify
from sglite.cli.reference_model import ReferenceModel
from sglite.cli.verify_compare import TOLERANCES, Verdict
from sglite.embedded import EMBEDDED_MODEL_DIR
from sglite.errors import ConfigError
from sglite.request import TokenLogprobs
from tests.cli.fakes import FakeLLM
from tests.cli.real_model import make_tiny_model


class FakeReference:
    """Agrees with FakeLLM: what follows in the sequence is the best token, for certain."""

    dtype = "float32"
    max_logit = 1.0
    is_right = True

    def score(self, token_ids):
        self.token_ids = token_ids
        return self

    def best(self, position):
        return self.token_ids[position] if self.is_right else -1, 1.0

    def logprob(self, position, token_id):
        return -1.0


@pytest.fixture
def reference(monkeypatch, llm):
    fake = FakeReference()

    def load(path, *, dtype):
        assert llm.is_closed, "two copies of the weights at once"
        fake.loaded = (path, dtype)
        return fake

    monkeypatch.setattr(ReferenceModel, "load", load)
    monkeypatch.setattr(type(llm), "_generation", _with_logprobs(type(llm)._generation))
    return fake


def _with_logprobs(make):
    def generation(self, prompt, sampling):
        result = make(self, prompt, sampling)
        result.logprobs = [TokenLogprobs(token_id, -1.0) for token_id in result.token_ids]
        return result

    return generation


def test_matching_checkpoint_ends_with_0_and_a_row_per_prompt(llm, reference, capsys, tmp_path):
    assert main(["verify", "--model", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count(" ok") == len(verify.TEXTS) and "MISMATCH" not in out
    assert reference.loaded == (str(tmp_path), "float32")
    assert llm.config.dtype == "float32"
    _, prompts, sampling, options = llm.calls[0]
    assert len(prompts) == len(verify.TEXTS)
    assert sampling.is_greedy and sampling.ignore_eos and sampling.max_new_tokens == 64
    assert options["logprob_start_len"] == 0


def test_mismatch_ends_with_1(llm, reference, capsys):
    reference.is_right = False
    assert main(["verify"]) == 1
    assert capsys.readouterr().out.count("MISMATCH token 0 is") == len(verify.TEXTS)


def test_type_can_be_chosen(llm, reference):
    main(["verify", "--dtype", "auto"])
    assert reference.loaded[1] == llm.config.dtype == "auto"


def test_embedded_model_is_verified_where_none_is_named(llm, reference):
    assert main(["verify"]) == 0
    assert reference.loaded[0] == str(EMBEDDED_MODEL_DIR)


def test_prompts_leave_room_for_the_answer():
    llm = FakeLLM()
    llm.spec.context_length = 80
    assert max(map(len, verify.prompt_ids(llm))) == 16
    llm.spec.context_length = 64
    with pytest.raises(ConfigError, match="verify needs more than 64"):
        verify.prompt_ids(llm)


def test_model_without_tokenizer_gets_ids_of_its_vocabulary():
    llm = FakeLLM()
    llm.tokenizer = None
    prompts = verify.prompt_ids(llm)
    assert prompts == verify.prompt_ids(llm)
    assert all(0 <= token_id < 100 for prompt in prompts for token_id in prompt)


def test_table_says_what_was_allowed():
    row = Verdict(
        num_prompt_tokens=7,
        logit_error=2e-6,
        num_matching=3,
        num_compared=3,
        num_cached_tokens=0,
        note="tie after 3 tokens",
        holds=True,
    )
    text = verify.table([row], dtype="bfloat16", tolerance=TOLERANCES["bfloat16"])
    assert text.splitlines()[1].split() == ["7", "0", "2.0e-06", "3/3", "ok", *row.note.split()]
    assert text.splitlines()[-1].startswith("bfloat16: logit error at most 0.05")


def test_real_engine_matches_transformers(tmp_path, capsys):
    pytest.importorskip("sglite.llm")
    model = make_tiny_model(tmp_path)
    words = ["--page-size", "4", "--max-total-tokens", "4096", "--chunked-prefill-size", "64"]
    assert main(["verify", "--model", model, *words]) == 0
    rows = capsys.readouterr().out.splitlines()[1:-1]
    assert len(rows) == len(verify.TEXTS) and all(" ok" in row for row in rows)
    assert int(rows[-1].split()[1]) > 0, "the long prompt's repeat hits the cache"
