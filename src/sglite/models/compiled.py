"""The parts of a decoder that torch.compile makes kernels of (``--enable-torch-compile``).

Compiled is, for any number of tokens at once, what a layer does after attention: the output
projection, the residual sums, the norm before the MLP and the MLP itself. Products stay those of
the vendor's library; what lies between them is fused from the kernels' references, which is what
the compiler sees in place of Triton kernels (``triton_support.runs_on``).

Left alone are:

- what a layer does before attention. It ends in the KV pool, whose keys and values are views of one
  piece of memory; a compiler that keeps track of who changes it copies the pool. Norms, rotation
  and store are one Triton kernel on a GPU already;
- attention, which is ragged;
- the embedding and the head, which are one operation each.

So there is little for a GPU to win where our own Triton kernels run, and more where they do not.
"""

from __future__ import annotations

import torch

from sglite.models.decoder import Decoder


def compile_layers(decoder: Decoder) -> None:
    """From now on the layers of ``decoder`` run compiled; the first batches wait for the compiler.

    All layers share one result, made for a symbolic number of tokens and once more for a single
    token. To be called before graphs are captured. On the CPU torch needs a C++ compiler at run
    time, and the first batch raises what torch raises without one.
    """
    for layer in decoder.blocks():
        layer.finish = torch.compile(layer.finish, dynamic=True)  # type: ignore[method-assign]
