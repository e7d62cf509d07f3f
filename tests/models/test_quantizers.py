"""FSQ inside a network: the native core's codes, and a gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.models.quantizers import FSQ
from conv2d_core import fsq_decode, fsq_encode, fsq_thresholds

LEVELS = st.lists(st.integers(2, 16), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(LEVELS, st.integers(0, 2**31))
def test_codes_and_values_are_those_of_the_core(levels: list[int], seed: int) -> None:
    z = np.random.default_rng(seed).normal(0, 2, (5, len(levels), 7)).astype(np.float32)
    # Some values exactly at a threshold, where a comparison the wrong way round would show.
    z[0, 0] = fsq_thresholds(levels[0])[0]
    z[1, 0] = np.nextafter(z[0, 0], np.float32(-np.inf))
    quantizer = FSQ(levels)
    rows = np.ascontiguousarray(z.transpose(0, 2, 1)).reshape(-1, len(levels))
    expected = fsq_encode(rows, levels).reshape(5, 7)
    place_value = np.cumprod([1, *levels[:-1]])[:, None]  # the first channel is the least significant
    assert np.array_equal((quantizer.digits(torch.from_numpy(z)).numpy() * place_value).sum(1), expected)
    values = fsq_decode(expected.ravel(), levels).reshape(5, 7, len(levels)).transpose(0, 2, 1)
    assert np.allclose(quantizer(torch.from_numpy(z)).numpy(), values, atol=1e-6)


def test_the_gradient_is_that_of_the_bounded_projection() -> None:
    quantizer = FSQ([8, 5])
    z = torch.tensor([[[0.3], [-0.7]]], requires_grad=True)
    quantizer(z).sum().backward()
    assert z.grad is not None
    expected = []
    for value, level in zip((0.3, -0.7), (8, 5), strict=True):
        half = (level - 1) * 1.001 / 2
        shift = np.arctanh((0.5 if level % 2 == 0 else 0) / half)
        expected.append(half * (1 - np.tanh(value + shift) ** 2) / (level // 2))
    assert z.grad.flatten().tolist() == pytest.approx(expected, rel=1e-5)


def test_saturated_values_keep_a_valid_code() -> None:
    quantizer = FSQ([8, 6, 5])
    z = torch.tensor([[[1e30], [-1e30], [0.0]]])
    assert quantizer.digits(z).flatten().tolist() == [7, 0, 2]
