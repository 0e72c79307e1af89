"""The attention patterns of inductor (`fuse_attention.py`), by what differs between them.

They become a call of a kernel for attention; here they become kernels that fusion finds. Scores are
written and read once, since no kernel holds two products.
"""

from __future__ import annotations

from functools import partial

from tests.coverage._programs import program
from tests.coverage._rows import Row

FUSED = "fusion: scale, mask and softmax are one kernel; permutes are in the loads of the products"
HEADS = {"q": "n 4 16 8", "k": "n 4 t 8", "v": "n 4 t 8"}
BEHIND = {"q": "n 16 4 8", "k": "n t 4 8", "v": "n t 4 8"}
HALF = {name: f"float16 {dims}" for name, dims in BEHIND.items()}
PADDING = {"m": "n 1 1 t"}

_row = partial(Row, "inductor", dims={"n": 2, "t": 64})

_FIRST = "".join(f"{x} = permute_dims({x}, (0, 2, 1, 3))\n" for x in "qkv")
_K = "permute_dims(k, (0, 1, 3, 2))"
_IN_FLOAT32 = """
s = nn.softmax(astype(s, dtype='float32'), axis=-1)
s = astype(nn.dropout(s, rate=0.1)[0], dtype='float16')
"""
_FILLED = """
p = broadcast_to(reshape(equal(m, 0), (n, 1, 1, t)), (n, 4, 16, t))
nn.softmax(masked_fill(s, p, value=-1e9), axis=-1) @ v
"""
_FLATTENED = """
a = reshape(q, (4 * n, 16, 8))
s = a @ permute_dims(reshape(k, (4 * n, t, 8)), (0, 2, 1))
s = reshape(reshape(s, (n, 4, 16, t)) + m, (4 * n, 16, t))
reshape(nn.softmax(s, axis=-1) @ reshape(v, (4 * n, t, 8)), (n, 4, 16, 8))
"""

ROWS: tuple[Row, ...] = (
    _row(
        "sfdp 1: scores divided",
        program=program(f"nn.softmax((q @ {_K}) / 2.8, axis=-1) @ v", **HEADS),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 2: scores multiplied",
        program=program(f"nn.softmax((q @ {_K}) * 0.35, axis=-1) @ v", **HEADS),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 3, 4, 28: dropout",
        ("dropout_is_identity",),
        program(f"nn.dropout(nn.softmax((q @ {_K}) * 0.35, axis=-1), rate=0.1)[0] @ v", **HEADS),
        canonical=True,
    ),
    _row(
        "sfdp 5: mask added",
        program=program(f"nn.softmax((q @ {_K}) / 2.8 + m, axis=-1) @ v", **PADDING, **HEADS),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 6: mask added, dropout",
        ("dropout_is_identity",),
        program(
            f"nn.dropout(nn.softmax((q @ {_K}) / 2.8 + m, axis=-1), rate=0.1)[0] @ v",
            **PADDING,
            **HEADS,
        ),
        canonical=True,
    ),
    _row(
        "sfdp 7, 8: softmax in float32",
        ("dropout_is_identity",),
        program(f"{_FIRST}s = (q @ {_K}) / 2.8{_IN_FLOAT32}s @ v", **HALF),
        canonical=True,
    ),
    _row(
        "sfdp 9, 10: queries divided, softmax in float32",
        ("dropout_is_identity",),
        program(f"{_FIRST}s = (q / 2.8) @ {_K}{_IN_FLOAT32}s @ v", **HALF),
        canonical=True,
    ),
    _row(
        "sfdp 11, 12: heads behind the sequence",
        program=program(f"{_FIRST}nn.softmax((q @ {_K}) / 2.8, axis=-1) @ v", **BEHIND),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 13: one batch axis, no scale",
        program=program(
            "nn.softmax(q @ permute_dims(k, (0, 2, 1)), axis=-1) @ v",
            q="n 16 8",
            k="n t 8",
            v="n t 8",
        ),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 14, 16: heads behind the sequence, mask added",
        program=program(
            f"{_FIRST}nn.softmax((q @ {_K}) / 2.8 + m, axis=-1) @ v", **PADDING, **BEHIND
        ),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 15, 17: padding filled",
        program=program(f"{_FIRST}s = (q @ {_K}) / 2.8{_FILLED}", m="int32 n t", **BEHIND),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 18: causal, keys and values returned",
        program=program(
            f"{_FIRST}s = where(c, (q @ {_K}) / 2.8, full((), -1e30))\n"
            "[nn.softmax(s, axis=-1) @ v, k, v]",
            c="bool 1 1 16 t",
            **BEHIND,
        ),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 19: causal, mask added",
        program=program(
            f"s = where(c, (q @ {_K}) / 2.8, full((), -1e30))\n"
            "nn.softmax(where(c, s, full((), -1e30)) + m, axis=-1) @ v",
            c="bool 1 1 16 t",
            **PADDING,
            **HEADS,
        ),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 20: queries divided, padding filled",
        program=program(f"{_FIRST}s = (q / 2.8) @ {_K}{_FILLED}", m="int32 n t", **BEHIND),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 21, 25: bias of positions, no scale",
        program=program(
            f"{_FIRST}s = (q @ {_K}) + m{_IN_FLOAT32}s @ v", m="float16 n 4 16 t", **HALF
        ),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 22, 26: bias of positions, keys and values returned",
        program=program(
            f"{_FIRST}s = (q @ {_K}) + m{_IN_FLOAT32}[s @ v, k, v]", m="float16 n 4 16 t", **HALF
        ),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 23, 27: no bias, keys and values returned",
        program=program(f"{_FIRST}s = q @ {_K}{_IN_FLOAT32}[s @ v, k, v]", **HALF),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 24: batch and heads flattened",
        program=program(_FLATTENED, m="n 1 16 t", **HEADS),
        mechanism=FUSED,
    ),
    _row(
        "sfdp 29: root of the scale on queries and keys, mask added",
        ("scale_commutes_with_product", "scale_of_right_operand_leaves_product"),
        program(
            f"{_FIRST}nn.softmax((q * 0.5) @ ({_K} * 0.5) + m, axis=-1) @ v", **PADDING, **BEHIND
        ),
    ),
    _row(
        "sfdp 30: root of the scale on queries and keys",
        ("scale_commutes_with_product", "scale_of_right_operand_leaves_product"),
        program(f"{_FIRST}nn.softmax((q * 0.5) @ ({_K} * 0.5), axis=-1) @ v", **BEHIND),
    ),
)
