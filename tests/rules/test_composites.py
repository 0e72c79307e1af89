"""Composite operators are found in what exporters write, and numbers stay."""

from __future__ import annotations

import numpy as np

import eqsat
from benchmarks import graphs
from eqsat.ir import parse_module, print_module

GROUP_NORM = """
@R.function
def main(x: R.Tensor(("n", 8, "h", 5), "float32"), u: R.Tensor((4,), "float32"),
         z: R.Tensor((4,), "float32"), w: R.Tensor((8, 1, 1), "float32"),
         b: R.Tensor((8, 1, 1), "float32")):
    n, h = T.int64(), T.int64()
    with R.dataflow():
        groups = R.reshape(x, (n, 4, {inner}))
        normal = R.nn.instance_norm(groups, u, z, channel_axis=1, axes={axes}, epsilon=1e-4)
        y = R.reshape(normal, (n, 8, h, 5)) * w + b
        R.output(y)
    return y
"""


def test_group_norm_as_torch_exports_it() -> None:
    rng = np.random.default_rng(1)
    shapes = ((3, 8, 6, 5), (4,), (4,), (8, 1, 1), (8, 1, 1))
    args = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    for inner, axes in (("h * 10", "[2]"), ("2 * h, 5", "[2, 3]")):
        module = parse_module(GROUP_NORM.format(inner=inner, axes=axes))
        result = eqsat.optimize(module)
        assert "nn.group_norm" in print_module(result.module)
        assert result.report.num_kernels < result.report.num_kernels_before
        expected = eqsat.interpret(module, *args)
        np.testing.assert_allclose(eqsat.compile(result)(*args), expected, 1e-4, 1e-5)


def test_groups_that_are_no_channels_stay_as_they_are() -> None:
    # The reshape mixes images, or the norm leaves an axis out.
    mixed = GROUP_NORM.replace("(n, 4, {inner})", "(n * 2, 4, h * 5)").format(inner="", axes="[2]")
    partial = GROUP_NORM.format(inner="2 * h, 5", axes="[3]")
    for text in (mixed, partial):
        assert "nn.group_norm" not in print_module(eqsat.optimize(parse_module(text)).module)


def test_group_norms_of_an_exported_block() -> None:
    result = eqsat.optimize(eqsat.from_onnx(graphs.unet_block()))
    text = print_module(result.module)
    assert "nn.group_norm" in text
    assert "nn.instance_norm" not in text
