import json

import pytest

from eqsat.extract import REFERENCE_PROFILE, Sizes, load_profile
from eqsat.extract._flops import computed, contraction_of, count_flops
from eqsat.ir import TensorType, infer_type, op
from eqsat.rules.fusion import FUSION_RULES
from eqsat.shapes import sym


class FixedProbe:
    vector_bits = 512
    num_vector_registers = 32

    def __init__(self):
        self.calls = 0

    def fma_flops_per_s(self, num_threads):
        self.calls += 1
        return 1e11 * num_threads

    def read_bytes_per_s(self, footprint_bytes, num_threads):
        self.calls += 1
        return 1e11 if footprint_bytes < 1e6 else 2e10

    def barrier_s(self, num_threads):
        self.calls += 1
        return 5e-3


def test_profile_is_measured_once_per_machine_and_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path))
    probe = FixedProbe()
    first = load_profile(2, probe)
    measured = probe.calls
    assert load_profile(2, probe) == first
    assert probe.calls == measured
    assert load_profile(1, probe).num_threads == 1
    assert probe.calls > measured
    assert len(list(tmp_path.glob("profile-*.json"))) == 2


def test_two_processes_that_measure_at_once_agree(tmp_path, monkeypatch):
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path))
    other = FixedProbe()

    class Slow(FixedProbe):
        def barrier_s(self, num_threads):
            load_profile(2, other)  # the other process is done first
            return 1e-6

    Slow.__name__ = "FixedProbe"  # profiles are kept by the name of what measured them
    assert load_profile(2, Slow()) == load_profile(2, other)


def test_damaged_profile_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path))
    probe = FixedProbe()
    first = load_profile(2, probe)
    (path,) = tmp_path.glob("profile-*.json")
    for text in ("", "{", "[]", json.dumps({"levels": 3})):
        path.write_text(text)
        assert load_profile(2, probe) == first


def test_cache_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(blocked))
    assert load_profile(2, FixedProbe()).fma_flops_per_s == 2e11


def test_profile_does_not_take_contention_for_the_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("EQSAT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("eqsat.extract._profile._num_cores", lambda *, physical=False: 4)

    class Contended(FixedProbe):
        def fma_flops_per_s(self, num_threads):
            return 1e11  # four threads get no more than one

        def read_bytes_per_s(self, footprint_bytes, num_threads):
            return 1e10

    profile = load_profile(4, Contended())
    assert profile.fma_flops_per_s == 4e11
    assert profile.levels[0].bytes_per_s == 4e10
    assert profile.barrier_s < 2e-6
    assert (profile.vector_bits, profile.num_vector_registers) == (512, 32)


def test_bandwidth_falls_steadily_between_levels():
    l2, l3 = REFERENCE_PROFILE.levels[1:3]
    between = REFERENCE_PROFILE.bytes_per_s(4e6)
    assert l3.bytes_per_s < between < l2.bytes_per_s
    assert REFERENCE_PROFILE.bytes_per_s(1e12) == REFERENCE_PROFILE.levels[-1].bytes_per_s


def test_larger_footprints_are_never_faster():
    rates = [REFERENCE_PROFILE.bytes_per_s(2.0**k) for k in range(8, 34)]
    assert rates == sorted(rates, reverse=True)


def flops(name, *shapes, **attrs):
    definition = op(name)
    types = [TensorType(s, "float32") for s in shapes]
    filled = definition.fill_attrs(attrs)
    result = infer_type(definition, types, filled)
    outputs = computed(definition, types, filled, result)
    return count_flops(outputs, (*types, result), Sizes(n=10), REFERENCE_PROFILE)


def test_flops_are_counted_from_compute():
    assert flops("add", (sym("n"), 4), (4,)) == 40
    assert flops("exp", (8,)) == 8 * REFERENCE_PROFILE.transcendental_flops["exp"]
    assert flops("sum", (sym("n"), 4), axis=(1,), keepdims=False) == 40
    assert flops("matmul", (3, 5), (5, 7)) == 2 * 3 * 5 * 7


def test_convolution_is_a_product_per_group():
    definition = op("nn.conv2d")
    attrs = definition.fill_attrs({"groups": 2})
    product = contraction_of(definition, attrs, (1, 8, 6, 6), (16, 4, 3, 3), (1, 16, 4, 4))
    assert (product.batch, product.m, product.n, product.k) == (2, 16, 8, 36)
    assert product.flops == 2 * 16 * 16 * 36


@pytest.mark.parametrize("rule", FUSION_RULES, ids=lambda r: f"{r.consumer}-{r.producer}")
def test_no_rule_puts_two_tiles_into_one_kernel(rule):
    tiled = {"contraction", "window"}
    assert not (rule.consumer in tiled and rule.producer in tiled)
    assert not (rule.consumer in {"row", "reduction"} and rule.producer in tiled)
