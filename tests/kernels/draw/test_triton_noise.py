from __future__ import annotations

import pytest
import torch

from sglite.kernels.draw.noise import exponential_noise, hash_tokens
from sglite.kernels.draw.noise import row_keys as keys_of
from tests.kernels.triton_harness import DEVICE

triton = pytest.importorskip("triton")
tl = triton.language
triton_noise = pytest.importorskip("sglite.kernels.draw.triton_noise")
hash_token, log_noise = triton_noise.hash_token, triton_noise.log_noise
row_keys = triton_noise.row_keys

SEEDS = [0, 1, -1, 2**63 - 1, -(2**63), 977]
POSITIONS = [0, 1, 2**31 - 1, 5, 70_000, 3]
COUNT = 1024


@triton.jit
def noise_kernel(seeds, positions, tokens, hashes, logs, COUNT: tl.constexpr):
    row = tl.program_id(0)
    token = tl.load(tokens + tl.arange(0, COUNT))
    key_1, key_2 = row_keys(tl.load(seeds + row), tl.load(positions + row))
    place = row * COUNT + tl.arange(0, COUNT)
    tl.store(hashes + place, hash_token(token, key_1, key_2).to(tl.int32, bitcast=True))
    tl.store(logs + place, log_noise(token, key_1, key_2))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_numbers_are_those_of_the_host(dtype):
    seeds, positions = torch.tensor(SEEDS), torch.tensor(POSITIONS, dtype=dtype)
    tokens = torch.randint(2**31 - 1, (COUNT,), dtype=torch.int32)
    tokens[:2] = torch.tensor([0, 151_935])
    hashes = torch.empty(len(SEEDS), COUNT, dtype=torch.int32, device=DEVICE)
    logs = torch.empty(len(SEEDS), COUNT, device=DEVICE)
    arguments = [tensor.to(DEVICE) for tensor in (seeds, positions, tokens)]
    noise_kernel[(len(SEEDS),)](*arguments, hashes, logs, COUNT=COUNT)
    keys = keys_of(seeds, positions.long())
    assert torch.equal(hashes.cpu(), hash_tokens(keys, tokens))
    expected = exponential_noise(keys, tokens).double().log()
    torch.testing.assert_close(logs.cpu().double(), expected, rtol=2e-6, atol=2e-6)
