"""What inductor does to quantised programs (`quantization.py`); our rules for them are opt-in."""

from __future__ import annotations

from functools import partial

from eqsat.rules import quantized
from tests.coverage._programs import program
from tests.coverage._rows import Row

_row = partial(Row, "inductor", rule_sets=(quantized,))

IN_REGISTERS = "fusion: computed on the register tile before it is stored"
IN_PROLOGUE = "fusion: dequantised while operands are packed, quantised on the register tile"
STEPS = {"s": "= +", "z": "= int8", "r": "= +", "y": "= int8"}
PRODUCT = {"q": "int8 n 64", "w": "= int8 64 64", **STEPS}
CONV = {"q": "int8 n 8 16 16", "w": "= int8 16 8 3 3", **STEPS}

_PRODUCT = "dequantize(q, s, z) @ dequantize(w, r, y)"
_CONV = "nn.conv2d(dequantize(q, s, z), dequantize(w, r, y), padding=1)"
_INT4 = "astype(bitwise_and({}, 15), dtype='float32') * 0.5"

ROWS: tuple[Row, ...] = (
    _row(
        "qconv weight prepack",
        program=program(_CONV, **CONV),
        mechanism=IN_PROLOGUE,
    ),
    _row(
        "qconv unary fusion",
        program=program(f"quantize(nn.relu({_CONV}), s, z)", **CONV),
        mechanism=IN_PROLOGUE,
    ),
    _row(
        "qconv binary fusion",
        program=program(
            f"quantize(nn.relu({_CONV} + dequantize(p, r, y)), s, z)", p="int8 n 16 16 16", **CONV
        ),
        mechanism=IN_PROLOGUE,
    ),
    _row(
        "qlinear weight prepack",
        ("product_in_integers",),
        program(_PRODUCT, **PRODUCT),
        dims={"n": 64},
    ),
    _row(
        "qlinear unary fusion",
        ("product_in_integers",),
        program(f"quantize(nn.relu({_PRODUCT}), s, z)", **PRODUCT),
        dims={"n": 64},
    ),
    _row(
        "qlinear binary fusion",
        ("product_in_integers",),
        program(f"quantize({_PRODUCT} + a, s, z)", a="n 64", **PRODUCT),
        dims={"n": 64},
    ),
    _row(
        "qmaxpool2d",
        ("max_pool_of_dequantize", "quantize_of_dequantize"),
        program(
            "quantize(nn.max_pool2d(dequantize(q, s, z), pool_size=2, strides=2), s, z)",
            q="int8 n 8 16 16",
            s="= +",
            z="= int8",
        ),
    ),
    _row(
        "qcat",
        ("dequantize_of_concat", "quantize_of_dequantize"),
        program(
            "quantize(concat([dequantize(q, s, z), dequantize(p, s, z)], axis=1), s, z)",
            q="int8 n 8",
            p="int8 n 8",
            s="= +",
            z="= int8",
        ),
    ),
    _row(
        "qreshape",
        ("dequantize_of_reshape", "quantize_of_dequantize", "quantize_of_reshape"),
        program(
            "quantize(reshape(dequantize(q, s, z), (n, 2, 4)), s, z)",
            q="int8 n 8",
            s="= +",
            z="= int8",
        ),
    ),
    _row(
        "dequant promotion",
        program=program(
            "x = dequantize(q, s, z)\n[exp(x), nn.relu(x)]", q="int8 n 8", s="= +", z="= int8"
        ),
        mechanism="fusion: each reader dequantises for itself where that is cheaper",
    ),
    _row(
        "quant_lift_up",
        ("quantize_of_reshape", "quantize_of_permute"),
        program(
            "quantize(permute_dims(reshape(x @ w, (n, 4, 16)), (1, 0, 2)), s, z)",
            x="n 64",
            w="= 64 64",
            s="= +",
            z="= int8",
        ),
    ),
    _row(
        "smooth quant: products of integers, scaled",
        program=program(
            "p = matmul(q, w, out_dtype='int32')\nastype(p, dtype='float32') * a * c + b",
            q="int8 n 64",
            w="= int8 64 64",
            a="n 1",
            b="= 64",
            c="= 64",
        ),
        mechanism=IN_REGISTERS,
    ),
    _row(
        "weight-only int8 products",
        program=program(
            "(x @ permute_dims(astype(w, dtype='float32'))) * c",
            x="n 512",
            w="= int8 512 512",
            c="= 512",
        ),
        mechanism="packed weights stay in the narrowest dtype that holds them "
        "(`lowering/schedule/_packing.py`)",
        dims={"n": 1},
    ),
    _row(
        "concat_linear_woq_int4",
        ("parallel_products_merge",),
        program(
            f"[x @ ({_INT4.format('u')}), x @ ({_INT4.format('v')})]",
            x="n 256",
            u="= uint8 256 4",
            v="= uint8 256 2",
        ),
        dims={"n": 4096},
    ),
)
