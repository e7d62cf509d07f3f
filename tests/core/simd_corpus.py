"""One line for every result of the core on a fixed corpus: its name and the hash of its bits. Run by test_simd.py."""

import hashlib
from collections.abc import Iterator

import numpy as np

import conv2d_core as core


def digest(*results: object) -> str:
    sums = hashlib.sha256()
    for result in results:
        array = np.ascontiguousarray(result)
        sums.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    return sums.hexdigest()[:16]


def hsmm_results() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(1)
    for frames, states, durations in [(1, 1, 1), (7, 3, 20), (300, 8, 1), (400, 8, 60), (250, 13, 129), (90, 33, 17)]:
        for kind in ("reals", "ties", "impossible"):
            for censoring in ("none", "both"):
                emissions = rng.normal(size=(frames, states)) * 3
                transitions = np.log(rng.dirichlet(np.ones(states), states))
                lengths = np.log(rng.dirichlet(np.ones(durations), states))
                if kind == "ties":
                    emissions, transitions, lengths = np.rint(emissions), np.rint(transitions), np.rint(lengths)
                if kind == "impossible":
                    emissions[rng.random(emissions.shape) < 0.3] = -np.inf
                    emissions[:, 0] = -1.0
                    lengths[rng.random(lengths.shape) < 0.3] = -np.inf
                    lengths[0, 0] = transitions[0, 0] = -1.0
                arguments = emissions, transitions, np.full(states, -1.0), lengths, censoring
                name = f"{frames}x{states}x{durations} {kind} {censoring}"
                yield f"hsmm_viterbi {name}", digest(*core.hsmm_viterbi(*arguments))
                yield f"hsmm_forward_backward {name}", digest(*core.hsmm_forward_backward(*arguments))
                yield f"hsmm_filter {name}", digest(*core.hsmm_filter(*arguments))


def fsq_results() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(2)
    for levels in ([8, 6, 5], [8, 5, 5, 5], [2], [255, 3], [7] * 9, [4] * 31, [2] * 63):
        for rows in (0, 1, 17, 1003):
            z = (rng.normal(size=(rows, len(levels))) * 2).astype(np.float32)
            z[rng.random(z.shape) < 0.02] = np.inf
            z[rng.random(z.shape) < 0.02] = core.fsq_thresholds(levels[0])[0]
            codes = core.fsq_encode(z, levels)
            results = codes, core.fsq_margin(z, levels), core.fsq_decode(codes, levels)
            yield f"fsq {levels[:4]} {len(levels)} {rows}", digest(*results)


def smoothing_results() -> Iterator[tuple[str, str]]:
    rng = np.random.default_rng(3)
    for dtype in (np.int32, np.int64):
        for samples in (0, 1, 63, 64, 65, 5000):
            for kinds in (2, 8, 300):
                labels = np.repeat(rng.integers(0, kinds, samples), rng.integers(1, 9, samples))[:samples].astype(dtype)
                for width in (1, 3, 7, 101):
                    results = core.mode_filter(labels, width), core.median_filter(labels, width)
                    yield f"filters {dtype.__name__} {samples} {kinds} {width}", digest(*results)
                yield f"min_dwell {dtype.__name__} {samples} {kinds}", digest(core.min_dwell(labels, 6))
            p = rng.random(samples)
            yield f"hysteresis {samples}", digest(core.hysteresis(p, 0.7, 0.3))


if __name__ == "__main__":
    print("path", core.simd_path())
    for results in (hsmm_results(), fsq_results(), smoothing_results()):
        for name, bits in results:
            print(name, bits)
