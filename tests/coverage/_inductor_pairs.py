"""What inductor's passes rewrite: a program, and the one that the pass makes of it.

Written after the replacements in `torch/_inductor/fx_passes`, in our form.
"""

from __future__ import annotations

from tests.coverage._tvm_pairs import NORM_INPUTS, Pair, pair

_THREE = "p = split(x, (8, 16), axis=1)\n"
_UNBOUND = """
p = split(x, 2, axis={0})
a, b = squeeze(p[0], axis=({0},)), squeeze(p[1], axis=({0},))
"""
_CUT = "strided_slice(x, axes=(1,), begin=({},), end=({},))"
_APART = "permute_dims(reshape(x, (n, 2, 8)), (1, 0, 2))"

SPLITS = (
    pair(
        "merge_splits",
        "p = split(x, (8,), axis=1)\nq = split(p[1], 2, axis=1)\nexp(q[0]) + tanh(p[0]) + q[1]",
        "p = split(x, (8, 16), axis=1)\nexp(p[1]) + tanh(p[0]) + p[2]",
        x="n 24",
    ),
    pair(
        "merge_split_squeeze",
        _UNBOUND.format(1) + "exp(a) + tanh(b)",
        f"a, b = squeeze({_CUT.format(0, 1)}, axis=(1,)), squeeze({_CUT.format(1, 2)}, axis=(1,))\n"
        "exp(a) + tanh(b)",
        x="n 2 8",
    ),
    pair(
        "simplify_split_cat-all",
        _THREE + "exp(concat([p[0], p[1], p[2]], axis=1))",
        "exp(x)",
        x="n 24",
    ),
    pair(
        "simplify_split_cat-some",
        _THREE + "exp(concat([p[0], p[1], y], axis=1))",
        f"exp(concat([{_CUT.format(0, 16)}, y], axis=1))",
        x="n 24",
        y="n 8",
    ),
    pair(
        "merge_unbind_stack", _UNBOUND.format(1) + "exp(stack([a, b], axis=1))", "exp(x)", x="n 2 8"
    ),
    pair(
        "merge_getitem_cat",
        _THREE + "[exp(concat([p[0], p[1]], axis=1)), tanh(p[2])]",
        "p = split(x, (16,), axis=1)\n[exp(p[0]), tanh(p[1])]",
        x="n 24",
    ),
    pair(
        "mutate_cat-all",
        "p = split(x, 2, axis=1)\n[exp(concat([p[0], p[1]], axis=1)), tanh(p[0])]",
        "p = split(x, 2, axis=1)\n[exp(x), tanh(p[0])]",
        x="n 24",
    ),
    pair(
        "mutate_cat-some",
        _THREE + "[exp(concat([p[1], p[2]], axis=1)), tanh(p[1])]",
        _THREE + f"[exp({_CUT.format(8, 24)}), tanh(p[1])]",
        x="n 24",
    ),
    pair(
        "split_cat_to_slices",
        _THREE + "exp(concat([y, p[1], p[2]], axis=1))",
        f"exp(concat([y, {_CUT.format(8, 24)}], axis=1))",
        x="n 24",
        y="n 8",
    ),
    pair(
        "unbind_cat_to_view",
        _UNBOUND.format(0) + "exp(concat([a, b], axis=0))",
        "exp(reshape(x, (32, 8)))",
        x="2 16 8",
    ),
    pair(
        "split_stack_to_cats",
        "p = split(x, 2, axis=1)\nexp(stack([p[0], p[1]], axis=0))",
        f"exp({_APART})",
        x="n 16",
    ),
    pair(
        "unbind_stack_to_slices",
        "p = split(x, 3, axis=1)\n"
        "exp(stack([squeeze(p[0], axis=(1,)), squeeze(p[1], axis=(1,))], axis=1))",
        f"exp({_CUT.format(0, 2)})",
        x="n 3 8",
    ),
    pair(
        "move_reshape_out_of_split_stack",
        "p = split(x, 2, axis=1)\n"
        "exp(stack([reshape(p[0], (n, 2, 4)), reshape(p[1], (n, 2, 4))], axis=0))",
        f"exp(reshape({_APART}, (2, n, 2, 4)))",
        x="n 16",
    ),
    pair(
        "move_view_after_cat",
        "p = split(x, 2, axis=1)\n"
        "exp(concat([reshape(p[0], (n, 2, 4)), reshape(p[1], (n, 2, 4))], axis=0))",
        f"exp(reshape({_APART}, (2 * n, 2, 4)))",
        x="n 16",
    ),
    pair(
        "merge_select_cat",
        "exp(concat([take(x, array([0]), axis=1), take(x, array([1]), axis=1)], axis=1))",
        "exp(x)",
        x="n 2 8",
    ),
    pair(
        "cat_splitwithsizes",
        "p = split(concat([x, y, z], axis=1), (8, 16), axis=1)\nexp(p[0]) + tanh(p[1]) + p[2]",
        "exp(x) + tanh(y) + z",
        **dict.fromkeys("xyz", "n 8"),
    ),
    pair(
        "cat_slice_cat",
        "c = concat([x, y], axis=1)\n"
        "exp(concat([c, strided_slice(c, axes=(1,), begin=(0,), end=(4,))], axis=1))",
        f"exp(concat([x, y, {_CUT.format(0, 4)}], axis=1))",
        x="n 8",
        y="n 8",
    ),
    pair(
        "sink_cat_after_pointwise",
        "tanh(reshape(concat([x, y], axis=1), (n, 2, 32)))",
        "reshape(concat([tanh(x), tanh(y)], axis=1), (n, 2, 32))",
        x="n 32",
        y="n 32",
    ),
)

_ROW = "s = {}\nd = {}\ne = exp(d)\ne / sum(e, axis=1, keepdims=True)"

VALUES = (
    pair(
        "pointless_cumsum",
        "x + cumsum(full((n, 64), 2.0), axis=1)",
        "x + reshape(arange(start=1, end=65, step=1, dtype='float32') * 2.0, (1, 64))",
        x="n 64",
    ),
    pair(
        "partial_reduction",
        "[max(x, axis=1), max(x)]",
        "m = max(x, axis=1)\n[m, max(m)]",
        x="256 256",
    ),
    pair(
        "mul_softmax",
        _ROW.format("x * 0.5", "s - max(s, axis=1, keepdims=True)"),
        _ROW.format("x", "(s - max(s, axis=1, keepdims=True)) * 0.5"),
        x="n 64",
    ),
    pair(
        "integers_times_zero",
        "y + x * 0",
        "y + full((n, 4), array(0, 'int32'))",
        x="int32 n 4",
        y="int32 n 4",
    ),
)

_CONV = "nn.conv2d(x, {}, padding=1)"
_OF_CHANNEL = "reshape(c, (16, 1, 1, 1))"
_CONVOLVED = {"x": "n 8 16 16", "w": "= 16 8 3 3", "c": "= + 1 16 1 1"}
_BATCH_NORM = "nn.batch_norm({}, g, b, m, v, axis=1, training=False)[0]"
_NORMED = "a = g * rsqrt(v + 1e-5)\n{} + reshape(b - m * a, {})"

PRODUCTS = (
    pair(
        "decompose_mm",
        "x @ w + b",
        "sum(expand_dims(x, axis=(2,)) * expand_dims(w, axis=(0,)), axis=1) + b",
        x="1 64",
        w="64 64",
        b="64",
    ),
    pair(
        "linear_transpose",
        "permute_dims(linear(x, w, b), (0, 2, 1))",
        "w @ permute_dims(x, (0, 2, 1)) + expand_dims(b, axis=(1,))",
        x="n 16 64",
        w="= 32 64",
        b="= 32",
    ),
    pair(
        "transpose_linear",
        "linear(permute_dims(x, (0, 2, 1)), w, b)",
        "permute_dims(x, (0, 2, 1)) @ permute_dims(w) + b",
        x="n 64 16",
        w="= 32 64",
        b="= 32",
    ),
    pair(
        "einsum_to_pointwise",
        "einsum([x, w], subscripts='abc,abcd->abd') + b",
        "sum(expand_dims(x, axis=(3,)) * w, axis=2) + b",
        x="n 8 32",
        w="n 8 32 64",
        b="64",
    ),
    pair(
        "bmm_to_mm",
        "nn.relu(x @ y)",
        "nn.relu(reshape(reshape(x, (16, 64)) @ reshape(y, (64, 32)), (1, 16, 32)))",
        x="1 16 64",
        y="1 64 32",
    ),
    pair(
        "addmm_fuse_three",
        "[x @ u + a, x @ v + b, x @ w + c]",
        "p = x @ concat([u, v, w], axis=1) + concat([a, b, c], axis=0)\n"
        "q = split(p, (4, 6), axis=1)\n[q[0], q[1], q[2]]",
        dims={"n": 4096},
        x="n 256",
        u="= 256 4",
        v="= 256 2",
        w="= 256 1",
        a="= 4",
        b="= 2",
        c="= 1",
    ),
    pair(
        "batch_linear_lhs",
        "[linear(x, u, a), linear(x, v, b)]",
        "p = x @ permute_dims(concat([u, v], axis=0)) + concat([a, b], axis=0)\n"
        "q = split(p, (4,), axis=1)\n[q[0], q[1]]",
        dims={"n": 4096},
        x="n 256",
        u="= 4 256",
        v="= 2 256",
        a="= 4",
        b="= 2",
    ),
    pair(
        "convert_1x1_conv_to_mm",
        "nn.conv2d(x, w)",
        "reshape(reshape(w, (16, 8)) @ reshape(x, (n, 8, 256)), (n, 16, 16, 16))",
        x="n 8 16 16",
        w="= 16 8 1 1",
    ),
)

FOLDED = (
    pair(
        "fold-convolution-mul",
        f"{_CONV.format('w')} * c",
        _CONV.format(f"w * {_OF_CHANNEL}"),
        **_CONVOLVED,
    ),
    pair(
        "fold-convolution-div",
        f"{_CONV.format('w')} / c",
        _CONV.format(f"w / {_OF_CHANNEL}"),
        **_CONVOLVED,
    ),
    pair(
        "fold-convolution-add",
        f"({_CONV.format('w')} + d) + c",
        f"{_CONV.format('w')} + (d + c)",
        d="= 1 16 1 1",
        **_CONVOLVED,
    ),
    pair("fold-linear-mul", "(x @ w) * c", "x @ (w * c)", x="n 64", w="= 64 64", c="= 64"),
    pair(
        "fold-linear-reshape-mul",
        "reshape(x @ w, (n, 4, 64)) * c",
        "reshape(x @ (w * c), (n, 4, 64))",
        x="4*n 64",
        w="= 64 64",
        c="= 64",
    ),
    pair(
        "fuse_conv_bn-one-axis",
        _BATCH_NORM.format("nn.conv1d(x, w, padding=1)"),
        _NORMED.format("nn.conv1d(x, w * reshape(a, (16, 1, 1)), padding=1)", "(1, 16, 1)"),
        x="n 8 16",
        w="= 16 8 3",
        **NORM_INPUTS,
    ),
    pair(
        "fuse_conv_bn-three-axes",
        _BATCH_NORM.format("nn.conv3d(x, w, padding=1)"),
        _NORMED.format(
            "nn.conv3d(x, w * reshape(a, (16, 1, 1, 1, 1)), padding=1)", "(1, 16, 1, 1, 1)"
        ),
        x="n 8 4 4 4",
        w="= 16 8 3 3 3",
        **NORM_INPUTS,
    ),
    pair(
        "efficient_conv_bn_eval-transposed",
        _BATCH_NORM.format("nn.conv2d_transpose(x, w, strides=2)"),
        _NORMED.format(
            "nn.conv2d_transpose(x, w * reshape(a, (1, 16, 1, 1)), strides=2)", "(1, 16, 1, 1)"
        ),
        x="n 8 8 8",
        w="= 8 16 2 2",
        **NORM_INPUTS,
    ),
)

_HEADS = {"q": "n 16 4 8", "k": "n t 4 8", "v": "n t 4 8"}
_FIRST = "".join(f"{x} = permute_dims({x}, (0, 2, 1, 3))\n" for x in "qkv")
_SCORES = "(q @ permute_dims(k, (0, 1, 3, 2)))"

ATTENTION = (
    pair(
        "sfdp-11",
        f"{_FIRST}nn.softmax({_SCORES} * 0.25, axis=-1) @ v",
        "permute_dims(nn.attention(q, k, v, scale=0.25), (0, 2, 1, 3))",
        dims={"n": 2, "t": 64},
        **_HEADS,
    ),
    pair(
        "sfdp-14",
        f"{_FIRST}nn.softmax({_SCORES} * 0.25 + m, axis=-1) @ v",
        "permute_dims(nn.attention(q, k, v, m, scale=0.25), (0, 2, 1, 3))",
        dims={"n": 2, "t": 64},
        m="n 1 1 t",
        **_HEADS,
    ),
)

PAIRS: tuple[Pair, ...] = (*SPLITS, *VALUES, *PRODUCTS, *FOLDED, *ATTENTION)
