import time

import numpy as np
import pytest

from eqsat.backends import NativeProbe, available_cpus, host_target


@pytest.fixture(scope="module")
def probe():
    return NativeProbe()


def test_peak_is_above_what_a_product_reaches(probe):
    a = np.ones((512, 512), np.float32)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    reached = 2.0 * 512**3 / best / available_cpus()
    assert probe.fma_flops_per_s(1) > 0.5 * reached


def test_small_footprints_are_faster_than_memory(probe):
    small = probe.read_bytes_per_s(16 << 10, 1)
    large = probe.read_bytes_per_s(64 << 20, 1)
    assert small > large > 1e8


def test_footprints_of_any_size_are_measured(probe):
    for size in (0, 1, 4097, 100_003):
        assert probe.read_bytes_per_s(size, 1) > 0


def test_a_barrier_of_one_thread_is_nearly_free(probe):
    assert 0 < probe.barrier_s(1) < 1e-6
    assert probe.barrier_s(2) > 0


def test_vectors_are_those_of_the_host(probe):
    assert probe.vector_bits == host_target().vector_bits
    assert probe.num_vector_registers in (16, 32)


def test_measuring_takes_a_moment_only(probe):
    start = time.perf_counter()
    probe.fma_flops_per_s(2)
    probe.read_bytes_per_s(1 << 20, 2)
    probe.barrier_s(2)
    assert time.perf_counter() - start < 1.5
