"""The parts of a decoder: linear, embedding, norm, rotary, attention, MLP.

Part of step 6 · receives tensors of packed tokens · hands on tensors · does not know about
batches, pages or checkpoints. Each takes its rank's share of a tensor-parallel group.
"""
