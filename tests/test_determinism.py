"""The same program twice gives the same text, whatever order Python's hashes give to sets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import onnx
import pytest

import eqsat
from benchmarks import graphs, zoo
from eqsat.ir.script import print_module

MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "bert": lambda: zoo.transformer_encoder(num_layers=1, width=32, num_heads=2),
    "llama_step": lambda: graphs.llama_step(num_layers=1, width=32, num_heads=4),
    "unet_block": lambda: graphs.unet_block(width=8),
    "lstm": lambda: graphs.lstm(steps=3, num_layers=1, width=8),
}


def text(name: str) -> str:
    """Return the optimized program, its variants and what is said of them."""
    result = eqsat.optimize(eqsat.from_onnx(MODELS[name]()), num_threads=2)
    programs = [result.as_text(), *(print_module(v) for v in result.variants(1))]
    report = result.report.as_dict()
    counts = {k: v for k, v in report.items() if k not in ("phases", "time_s")}
    return "\n".join([*programs, str(counts), str(result.rule_gains)])


@pytest.mark.parametrize("name", ["bert", "lstm"])
def test_twice_in_one_process(name: str) -> None:
    assert text(name) == text(name)


def test_in_processes_with_other_hashes() -> None:
    source = (
        "import hashlib, tests.test_determinism as t\n"
        "for n in t.MODELS: print(n, hashlib.sha256(t.text(n).encode()).hexdigest())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (p.communicate()[0] for p in processes)
    assert first.count("\n") == len(MODELS)
    assert first == second
