"""sglite as a peer: the same tokens in a batch and in a stream, exactly as many as asked for."""

from __future__ import annotations

import sys

from sglite.bench.peers.own import Peer
from sglite.bench.suite.peer_process import PEERS, PeerCommand, PeerProcess
from sglite.bench.suite.workloads import Ask


def test_batch_and_stream():
    peer = Peer(None, skip_tokenizer_init=True, max_total_tokens=256)
    (first, second) = peer.batch([[[300, 301, 302], 5], [[400], 1]])
    assert (len(first), len(second)) == (5, 1)
    first_s, seconds, output = peer.stream([300, 301, 302], 5)
    assert output == first
    assert 0 < first_s < seconds
    peer.close()


def test_as_a_process_it_gives_the_same_tokens():
    options = {"skip_tokenizer_init": True, "max_total_tokens": 256}
    command = PeerCommand(python=(sys.executable,), adapter=PEERS / "own.py")
    process = PeerProcess(command, None, options, load_timeout_s=120.0, timeout_s=120.0)
    here = Peer(None, **options)
    try:
        process.load()
        answers = process.batch([Ask([300, 301, 302], 5)])
        assert answers.outputs == here.batch([([300, 301, 302], 5)])
        assert process.version == here.version
    finally:
        here.close()
        process.close()
