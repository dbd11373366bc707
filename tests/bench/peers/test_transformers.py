"""transformers as a peer: padding changes no answer, and each has its own length."""

from __future__ import annotations

import torch

from sglite.bench.peers.transformers import Peer
from tests.cli.real_model import make_tiny_model


def test_batch_and_stream(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    peer = Peer(model, dtype="float32", threads=torch.get_num_threads(), batch_size=2)
    requests = [[[300, 301, 302, 303], 5], [[400], 2], [[500, 501], 1]]
    outputs = peer.batch(requests)
    assert [len(output) for output in outputs] == [5, 2, 1]
    assert [peer.batch([request])[0] for request in requests] == outputs
    first_s, seconds, output = peer.stream(requests[0][0], 5)
    assert output == outputs[0]
    assert 0 < first_s < seconds
    assert peer.version.startswith("transformers ")
    peer.close()
