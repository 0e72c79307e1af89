"""Weights are priced alike in every program: by those of the program given, not by all variants."""

from __future__ import annotations

import eqsat
from benchmarks import graphs
from eqsat._saturate import saturate
from eqsat.extract import REFERENCE_PROFILE, Sizes
from eqsat.extract._forms import prepare
from eqsat.rules import ALL_RULE_SETS
from eqsat.shapes import Facts


def test_a_weight_costs_the_same_with_and_without_its_variants() -> None:
    main = eqsat.from_onnx(graphs.llama_step(num_layers=1)).relax_function()
    rates: list[float] = []
    for rule_sets in (ALL_RULE_SETS[:0], ALL_RULE_SETS):
        snapshot, _ = saturate(main, rule_sets, Facts(positive=False))
        graph = prepare(snapshot, REFERENCE_PROFILE, Sizes.of(snapshot, {"P": 16}))
        rates.append(graph.constant_bytes_per_s)
    assert rates[0] == rates[1]
