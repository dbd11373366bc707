"""OpenVINO GenAI as a peer, with a stand-in for it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from sglite.bench.peers.openvino import Peer


class FakeHandle:
    def __init__(self):
        self.pieces = []

    def can_read(self):
        return bool(self.pieces)

    def read(self):
        return {0: SimpleNamespace(generated_ids=[self.pieces.pop(0)])}


class FakePipeline:
    """Gives nothing in its first step, then two tokens per step."""

    def __init__(self, *words):
        self.words = words

    def generate(self, prompts, configs):
        self.asked = (prompts, configs)
        return [SimpleNamespace(m_generation_ids=[[3] * each.max_new_tokens]) for each in configs]

    def add_request(self, number, prompt, config):
        self.handle, self.left, self.is_first = FakeHandle(), config.max_new_tokens, True
        return self.handle

    def has_non_finished_requests(self):
        return self.left > 0

    def step(self):
        if self.is_first:
            self.is_first = False
            return
        count = min(2, self.left)
        self.handle.pieces += [7] * count
        self.left -= count


@pytest.fixture
def peer(monkeypatch):
    genai, openvino = ModuleType("openvino_genai"), ModuleType("openvino")
    genai.SchedulerConfig = genai.GenerationConfig = SimpleNamespace
    genai.ContinuousBatchingPipeline, genai.__version__ = FakePipeline, "2026"
    openvino.Tensor = lambda array: array.tolist()
    monkeypatch.setitem(sys.modules, "openvino_genai", genai)
    monkeypatch.setitem(sys.modules, "openvino", openvino)
    return Peer("DIR", threads=3, precision="bf16", dtype="bfloat16")


def test_settings(peer):
    model, scheduler, device, properties = peer._pipeline.words
    assert (model, device, scheduler.enable_prefix_caching) == ("DIR", "CPU", True)
    assert properties == {"INFERENCE_NUM_THREADS": 3, "INFERENCE_PRECISION_HINT": "bf16"}
    assert peer.version == "openvino-genai 2026"


def test_a_batch_has_exactly_the_tokens_asked_for(peer):
    assert peer.batch([[[1, 2], 2], [[4], 1]]) == [[3, 3], [3]]
    prompts, configs = peer._pipeline.asked
    assert prompts == [[[1, 2]], [[4]]]
    assert [(each.max_new_tokens, each.min_new_tokens) for each in configs] == [(2, 2), (1, 1)]
    assert all(each.ignore_eos and not each.do_sample for each in configs)


def test_a_stream_is_read_step_by_step(peer):
    first_s, seconds, token_ids = peer.stream([1], 5)
    assert token_ids == [7] * 5
    assert 0 < first_s < seconds
    peer.close()
