"""Part of step 5 · what carries a plan out: rows of state, the batch that a model reads, the step.

Receives plans · hands on their results · does not know about requests, queues or the tree. It does
what it is told.

Read ``executor`` (the contract), ``torch_executor`` (a plan as tensors), then ``device_executor``
(the same on an accelerator that is always a step behind).
"""
