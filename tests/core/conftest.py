"""Every test of the core runs on every SIMD path of this machine: what one of them gets wrong, none can hide."""

from collections.abc import Iterator

import pytest

import conv2d_core


@pytest.fixture(autouse=True, params=conv2d_core.simd_paths())
def simd_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The path that the test runs on; a module that chooses for itself has a fixture of this name of its own."""
    before = conv2d_core.simd_path()
    conv2d_core.use_simd_path(request.param)
    yield request.param
    conv2d_core.use_simd_path(before)
