"""vLLM as a peer, with a stand-in for it: what it is asked, and what is made of its answers."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from sglite.bench.peers.vllm import Peer


def output(token_ids):
    return SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(token_ids))])


class FakeEngine:
    """Gives a cumulative output per step, the first one without a token."""

    def __init__(self):
        self.added, self.left = [], []

    def add_request(self, request_id, prompt, params):
        self.added.append((request_id, prompt, params))
        self.left = [[], [9], *([9] * n for n in range(2, params["max_tokens"] + 1))]

    def has_unfinished_requests(self):
        return bool(self.left)

    def step(self):
        return [output(self.left.pop(0))]


class FakeLLM:
    def __init__(self, model, **settings):
        self.model, self.settings, self.llm_engine = model, settings, FakeEngine()

    def generate(self, prompts, params, use_tqdm):
        self.asked = (prompts, params, use_tqdm)
        return [output([5] * each["max_tokens"]) for each in params]


@pytest.fixture
def peer(monkeypatch):
    vllm, params = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    vllm.LLM, vllm.SamplingParams, vllm.__version__ = FakeLLM, dict, "1.2"
    params.RequestOutputKind = SimpleNamespace(CUMULATIVE="all so far")
    monkeypatch.setitem(sys.modules, "vllm", vllm)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", params)
    return Peer("DIR", threads=torch.get_num_threads(), max_model_len=512, quantization="x")


def test_options_go_to_it_over_our_defaults(peer):
    assert peer._llm.model == "DIR"
    settings = peer._llm.settings
    assert (settings["dtype"], settings["max_model_len"]) == ("bfloat16", 512)
    assert settings["enable_prefix_caching"] and settings["quantization"] == "x"
    assert peer.version.startswith("vllm 1.2, torch ")


def test_a_batch_is_greedy_and_has_no_end_of_text(peer):
    assert peer.batch([[[1, 2], 3], [[4], 1]]) == [[5, 5, 5], [5]]
    prompts, params, use_tqdm = peer._llm.asked
    assert prompts == [{"prompt_token_ids": [1, 2]}, {"prompt_token_ids": [4]}]
    expected = {"temperature": 0.0, "ignore_eos": True, "detokenize": False}
    assert params == [expected | {"max_tokens": 3}, expected | {"max_tokens": 1}]
    assert not use_tqdm


def test_a_stream_ends_with_all_tokens(peer):
    for number in (1, 2):
        first_s, seconds, token_ids = peer.stream([1, 2], 3)
        assert token_ids == [9, 9, 9]
        assert 0 < first_s < seconds
        request_id, prompt, params = peer._llm.llm_engine.added[-1]
        assert (request_id, prompt) == (f"stream-{number}", {"prompt_token_ids": [1, 2]})
        assert params["output_kind"] == "all so far"
    peer.close()
