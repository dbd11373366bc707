"""The counter-based generator: uniform, independent in each argument, the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from sglite.kernels.draw.noise import exponential_noise, hash_tokens, row_keys

TOKENS = torch.arange(4096, dtype=torch.int32)


def uniforms(seeds: list[int], positions: list[int], tokens: torch.Tensor = TOKENS) -> np.ndarray:
    """The uniform numbers behind the noise, [rows, tokens]."""
    keys = row_keys(torch.tensor(seeds), torch.tensor(positions))
    return -np.expm1(-exponential_noise(keys, tokens).double().numpy())


def is_uniform(sample: np.ndarray) -> bool:
    counts, _ = np.histogram(sample, bins=256, range=(0, 1))
    return stats.chisquare(counts).pvalue > 1e-4


SEQUENCES = {
    "positions": ([7] * 64, list(range(64))),
    "seeds": (list(range(64)), [11] * 64),
    "negative seeds": (list(range(-(2**63), -(2**63) + 64)), [11] * 64),
    "seed and position together": (list(range(64)), list(range(64))),
    "seed against position": (list(range(64)), list(range(63, -1, -1))),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_numbers_are_uniform_along(name):
    assert is_uniform(uniforms(*SEQUENCES[name]))


def test_numbers_are_uniform_along_the_tokens_of_one_row():
    assert is_uniform(uniforms([7], [11], torch.arange(1 << 18, dtype=torch.int32)))


def test_one_token_is_uniform_over_positions_and_over_seeds():
    one = torch.tensor([5], dtype=torch.int32)
    assert is_uniform(uniforms([3] * 20_000, list(range(20_000)), one))
    assert is_uniform(uniforms(list(range(20_000)), [3] * 20_000, one))


def test_uniformity_check_notices_a_skewed_sample():
    assert not is_uniform(uniforms([7] * 64, list(range(64))) ** 1.05)


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("token_shift", [0, 1, 2])
def test_neighbouring_rows_are_independent(name, token_shift):
    numbers = uniforms(*SEQUENCES[name])
    first = numbers[:-1, : 4096 - token_shift].ravel()
    second = numbers[1:, token_shift:].ravel()
    joint, _, _ = np.histogram2d(first, second, bins=16, range=((0, 1), (0, 1)))
    assert stats.chisquare(joint.ravel()).pvalue > 1e-4


def test_neighbouring_tokens_are_independent():
    numbers = uniforms([7] * 64, list(range(64)))
    joint, _, _ = np.histogram2d(numbers[:, :-1].ravel(), numbers[:, 1:].ravel(), bins=16)
    assert stats.chisquare(joint.ravel()).pvalue > 1e-4


@pytest.mark.parametrize("flipped", ["seed", "position", "token"])
def test_one_flipped_bit_changes_half_of_the_bits(flipped):
    seed, position, token = 123_456_789, 321, 77
    base = hash_tokens(
        row_keys(torch.tensor([seed]), torch.tensor([position])), torch.tensor([token]).int()
    )
    num_bits = {"seed": 63, "position": 20, "token": 17}[flipped]
    changed = []
    for bit in range(num_bits):
        values = {"seed": seed, "position": position, "token": token}
        values[flipped] ^= 1 << bit
        keys = row_keys(torch.tensor([values["seed"]]), torch.tensor([values["position"]]))
        other = hash_tokens(keys, torch.tensor([values["token"]]).int())
        changed.append(bin(int(base ^ other) & 0xFFFFFFFF).count("1"))
    assert 14 < np.mean(changed) < 18
    assert min(changed) >= 4


def test_no_two_keys_of_nearby_seeds_and_positions_are_equal():
    seeds, positions = torch.meshgrid(torch.arange(150), torch.arange(150), indexing="ij")
    keys = row_keys(seeds.ravel(), positions.ravel())
    assert len(set(map(tuple, keys.tolist()))) == 22_500


def test_noise_does_not_depend_on_the_batch_or_the_other_candidates():
    keys = row_keys(torch.arange(9), torch.arange(9) * 31)
    tokens = torch.arange(1003, dtype=torch.int32)
    whole = exponential_noise(keys, tokens)
    some = torch.tensor([[5, 1002, 17], [1, 2, 3]], dtype=torch.int32)
    picked = exponential_noise(keys[[6, 2]], some)
    assert torch.equal(picked[0], whole[6, some[0].long()])
    assert torch.equal(picked[1], whole[2, some[1].long()])


def test_noise_is_positive_and_finite():
    noise = exponential_noise(row_keys(torch.arange(256), torch.arange(256)), TOKENS)
    assert bool((noise > 0).all()) and bool(noise.isfinite().all())


def test_numbers_stay_the_same_between_versions():
    keys = row_keys(torch.tensor([0, 42]), torch.tensor([0, 1000]))
    hashes = hash_tokens(keys, torch.tensor([0, 151_935], dtype=torch.int32)).tolist()
    assert hashes == [[509658803, 681447876], [-789009799, 342684329]]
