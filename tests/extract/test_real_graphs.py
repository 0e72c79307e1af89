"""Extraction from saturated e-graphs of whole models."""

from __future__ import annotations

import pytest

from benchmarks import zoo
from eqsat import from_onnx
from eqsat._saturate import Limits, saturate
from eqsat.extract import REFERENCE_PROFILE, Sizes, extract, input_cover, structure, variants
from eqsat.rules import ALL_RULE_SETS
from eqsat.shapes import Facts

MODELS = {
    "encoder of 2 layers": lambda: zoo.transformer_encoder(num_layers=2, width=64, num_heads=4),
    "encoder of 4 layers": lambda: zoo.transformer_encoder(num_layers=4, width=64, num_heads=4),
    "squeezenet": lambda: zoo.light_model("squeezenet"),
    "inception_v1": lambda: zoo.light_model("inception_v1"),
}


@pytest.fixture(scope="module", params=MODELS)
def snapshot(request):
    function = from_onnx(MODELS[request.param]()).relax_function("main")
    found, _ = saturate(function, ALL_RULE_SETS, Facts(), Limits(), lambda _: None)
    return found


def operators(kernel):
    return {n.op for n in kernel.nodes.values() if n.op != "constant"}


def described(cover):
    return [(k.root, k.template, k.leaves, k.time_s) for k in cover.kernels]


def check_order(snapshot, cover):
    written = {
        c
        for c, e in snapshot.classes.items()
        if e.is_constant or any(n.op in ("input", "constant") for n in e.nodes)
    }
    for k in cover.kernels:
        assert set(k.leaves) <= written, "a leaf is not in memory yet"
        for c, n in k.nodes.items():
            assert any(n is same for same in snapshot.classes[c].nodes)
        written.add(k.root)
    assert set(snapshot.outputs) <= written


def test_cover_is_valid_proved_and_the_same_again(snapshot):
    sizes = Sizes.of(snapshot)
    cover = extract(snapshot, REFERENCE_PROFILE, sizes)
    check_order(snapshot, cover)
    assert cover.gap <= 0.01
    assert cover.time_s <= input_cover(snapshot, REFERENCE_PROFILE, sizes).time_s
    assert described(extract(snapshot, REFERENCE_PROFILE, sizes)) == described(cover)


def test_without_time_the_cover_is_nearly_as_good(snapshot):
    sizes = Sizes.of(snapshot)
    best = extract(snapshot, REFERENCE_PROFILE, sizes)
    quick = extract(snapshot, REFERENCE_PROFILE, sizes, time_limit_s=0.0)
    check_order(snapshot, quick)
    assert best.time_s * (1 - 1e-9) <= quick.time_s <= best.time_s * 1.1
    assert quick.bound_s <= best.time_s * (1 + 1e-9)


def test_no_kernel_is_only_a_relu_or_an_add(snapshot):
    cover = extract(snapshot, REFERENCE_PROFILE, Sizes.of(snapshot))
    assert not [k for k in cover.kernels if operators(k) <= {"nn.relu", "add"}]
    assert not [k for k in cover.kernels if "nn.batch_norm" in operators(k)]


def test_variants_differ_and_are_the_same_again(snapshot):
    sizes = Sizes.of(snapshot)
    found = variants(snapshot, REFERENCE_PROFILE, sizes, 3)
    for cover in found:
        check_order(snapshot, cover)
    assert len({structure(c) for c in found}) == 3
    times = [c.time_s for c in found]
    assert times == sorted(times)
    assert times[0] == pytest.approx(extract(snapshot, REFERENCE_PROFILE, sizes).time_s)
    again = variants(snapshot, REFERENCE_PROFILE, sizes, 3)
    assert [described(c) for c in again] == [described(c) for c in found]
