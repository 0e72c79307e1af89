"""What TVM's passes over products make of more programs: of vectors, batches, many sizes, types.

Written after the passes' own tests, in our form, as in `_tvm_pairs.py`. Each program is looked at
where the pass rewrites it and, with sizes known only at run time, where it had better not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.coverage._tvm_pairs import Pair, pair

Sizes = Sequence[Mapping[str, int]]


def _at(name: str, given: str, expected: str, dims: Sizes, **inputs: str) -> tuple[Pair, ...]:
    """Return a pair for each of `dims`."""
    named = ["-".join([name, *map(str, d.values())]) for d in dims]
    return tuple(pair(n, given, expected, d, **inputs) for n, d in zip(named, dims, strict=True))


# --- the order of products ------------------------------------------------------------------

RANKS = ({"r": 1}, {"r": 1024})
BATCHES = ({"n": 1, "r": 4}, {"n": 64, "r": 256}, {"n": 4096, "r": 16})
CHAIN = (
    {"m": 64, "n": 64, "p": 64, "q": 1},
    {"m": 256, "n": 16, "p": 256, "q": 16},
    {"m": 16, "n": 256, "p": 16, "q": 256},
)
_CHAIN = {"a": "m n", "b": "n p", "c": "p q"}
_LORA_ROWS = {"x": "n 256", "a": "256 r", "b": "r 256"}

ORDER = (
    *_at("order-vector-left", "x @ (a @ b)", "(x @ a) @ b", RANKS, x="16", a="16 r", b="r 32"),
    *_at("order-vector-right", "(a @ b) @ x", "a @ (b @ x)", RANKS, x="16", a="32 r", b="r 16"),
    *_at("order-rows", "x @ (a @ b)", "(x @ a) @ b", BATCHES, x="n 1 16", a="16 r", b="r 32"),
    *_at("order-rows-back", "(x @ a) @ b", "x @ (a @ b)", BATCHES, x="n 1 16", a="16 r", b="r 32"),
    *_at("order-columns", "(a @ b) @ x", "a @ (b @ x)", BATCHES, x="n 16 1", a="32 r", b="r 16"),
    *_at(
        "order-columns-back", "a @ (b @ x)", "(a @ b) @ x", BATCHES, x="n 16 1", a="32 r", b="r 16"
    ),
    *_at("order-chain-left", "(a @ b) @ c", "a @ (b @ c)", CHAIN, **_CHAIN),
    *_at("order-chain-right", "a @ (b @ c)", "(a @ b) @ c", CHAIN, **_CHAIN),
    *_at(
        "order-transposed-vector",
        "x @ permute_dims(a @ b)",
        "(x @ permute_dims(b)) @ permute_dims(a)",
        RANKS,
        x="32",
        a="32 r",
        b="r 32",
    ),
    *_at(
        "order-transposed-rows",
        "x @ permute_dims(a @ b)",
        "(x @ permute_dims(b)) @ permute_dims(a)",
        ({"n": 1, "r": 8}, {"n": 64, "r": 16}, {"n": 256, "r": 256}),
        **_LORA_ROWS,
    ),
    pair("order-batch-of-one", "a @ (b @ c)", "(a @ b) @ c", a="2 1 1", b="2 1 2", c="2 2 3"),
    pair("order-batches", "a @ (b @ c)", "(a @ b) @ c", a="2 3 4 5", b="2 3 5 6", c="2 3 6 7"),
    pair(
        "order-of-attention",
        "s = (x @ a) @ permute_dims(x @ b, (0, 2, 1)) * 0.125\n(nn.softmax(s) @ (x @ c)) @ d",
        "s = (x @ a) @ permute_dims(x @ b, (0, 2, 1)) * 0.125\n(nn.softmax(s) @ (x @ c)) @ d",
        x="2 16 64",
        a="64 64",
        b="64 64",
        c="64 64",
        d="64 64",
    ),
)

# --- products with sums ---------------------------------------------------------------------

_ROWS = ({"n": 1}, {"n": 2}, {"n": 256})
_TRANSPOSED = "x @ permute_dims(a) + x @ permute_dims(b)"
_LORA_VECTOR = {"x": "256", "a": "256 512", "b": "256 8", "c": "8 512"}

EXPAND = (
    pair("expand-vector", "x @ (a + b)", "x @ a + x @ b", x="16", a="16 32", b="16 32"),
    pair("expand-large-vector", "x @ (a + b)", "x @ a + x @ b", x="256", a="256 512", b="256 512"),
    pair("expand-column", "(a + b) @ x", "a @ x + b @ x", x="512", a="256 512", b="256 512"),
    *_at("expand-rows", "x @ (a + b)", "x @ a + x @ b", _ROWS, x="n 256", a="256 512", b="256 512"),
    *_at(
        "expand-transposed-rows",
        "x @ permute_dims(a + b)",
        _TRANSPOSED,
        _ROWS,
        x="n 256",
        a="512 256",
        b="512 256",
    ),
    pair(
        "expand-transposed-vector",
        "x @ permute_dims(a + b)",
        _TRANSPOSED,
        x="256",
        a="512 256",
        b="512 256",
    ),
    pair("expand-lora-vector", "x @ (a + b @ c)", "x @ a + (x @ b) @ c", **_LORA_VECTOR),
    pair(
        "expand-lora-transposed-vector",
        "x @ permute_dims(a + b @ c)",
        "x @ permute_dims(a) + (x @ permute_dims(c)) @ permute_dims(b)",
        x="256",
        a="512 256",
        b="512 8",
        c="8 256",
    ),
    *_at(
        "expand-lora-rows",
        "x @ (a + b @ c)",
        "x @ a + (x @ b) @ c",
        ({"n": 1, "r": 8}, {"n": 256, "r": 16}, {"n": 2048, "r": 8}),
        x="n 256",
        a="256 256",
        b="256 r",
        c="r 256",
    ),
)

# --- parallel products ----------------------------------------------------------------------

_PARTS = ("u", "v", "w")


def _branches(layers: Sequence[str]) -> str:
    """Return the concatenation of layers: `{}` in each stands for its product."""
    parts = [f.format(f"x @ {p}") for f, p in zip(layers, _PARTS, strict=False)]
    return f"concat([{', '.join(parts)}], axis=1)"


def _one_product(layers: Sequence[str], width: int, after: str = "{}", axis: int = -1) -> str:
    """Return one product of all layers, split: what follows each part, `after` follows them all."""
    weights = ", ".join(_PARTS[: len(layers)])
    cuts = [width * i for i in range(1, len(layers))]
    parts = ", ".join(f.format(f"s[{i}]") for i, f in enumerate(layers))
    merged = after.format(f"(x @ concat([{weights}], axis=1))")
    return f"s = split({merged}, {cuts}, axis={axis})\nconcat([{parts}], axis=1)"


def _combined(
    name: str, layers: Sequence[str], parts: Sequence[str], after: str = "{}"
) -> tuple[Pair, ...]:
    """Return pairs of branches that are joined again: of few rows and of many."""
    inputs = dict.fromkeys(_PARTS[: len(layers)], "64 64")
    inputs |= {b: "64" for b in "abc" if any(f"{b})" in f for f in layers)}
    given, expected = _branches(layers), _one_product(parts, 64, after)
    return tuple(
        pair(f"combine-{name}-{rows}", given, expected, x=f"{rows} 64", **inputs)
        for rows in (1, 64)
    )


_BIASES = " + concat([a, b, c], axis=0)"
PLAIN = ("{}",) * 3
BIASED = ("({} + a)", "({} + b)", "({} + c)")
SOME_BIASED = ("({} + a)", "{}", "({} + c)")
RELUS = ("nn.relu({})",) * 3
BIASED_RELUS = ("nn.relu({} + a)", "nn.relu({} + b)", "nn.relu({} + c)")
MIXED = ("nn.gelu({})", "nn.relu({})", "nn.relu({})")
FIRST_RELU = ("nn.relu({})", "{}", "{}")
OUTER_RELUS = ("nn.relu({})", "{}", "nn.relu({})")
BIASED_OUTER_RELUS = ("nn.relu({} + a)", "({} + b)", "nn.relu({} + c)")
SOME_BIASED_OUTER_RELUS = ("nn.relu({} + a)", "{}", "nn.relu({} + c)")

_BATCHED = {"x1": "2 8 64", "x2": "2 8 64", **dict.fromkeys(("u", "v", "w", "y", "z"), "64 64")}
_TWO = "[x @ u, x @ v]"
_TWO_AS_ONE = "s = split(x @ concat([u, v], axis=1), [64], axis=2)\n[s[0], s[1]]"
_SWAPPED = "s = split(x @ concat([v, u], axis=1), [64], axis=2)\n[s[1], s[0]]"
_WIDTHS = ({"m": 1}, {"m": 16}, {"m": 640})
_BIASED_TWO = "[x @ u + a, x @ v + b]"

COMBINE = (
    *_combined("branches", PLAIN, PLAIN),
    *_combined("biases", BIASED, PLAIN, "{}" + _BIASES),
    *_combined("some-biases", SOME_BIASED, SOME_BIASED),
    *_combined("relus", RELUS, PLAIN, "nn.relu({})"),
    *_combined("activations", MIXED, MIXED),
    *_combined("one-relu", FIRST_RELU, FIRST_RELU),
    *_combined("biased-relus", BIASED_RELUS, PLAIN, "nn.relu({}" + _BIASES + ")"),
    *_combined("biases-some-relus", BIASED_OUTER_RELUS, OUTER_RELUS, "{}" + _BIASES),
    *_combined("some-biases-some-relus", SOME_BIASED_OUTER_RELUS, SOME_BIASED_OUTER_RELUS),
    pair(
        "combine-branches-of-batch",
        _branches(PLAIN),
        _one_product(PLAIN, 64, axis=2),
        x="2 32 64",
        u="64 64",
        v="64 64",
        w="64 64",
    ),
    pair(
        "combine-batched-weights",
        "[x @ u, x @ v, x @ w, x @ y]",
        "s = split(x @ concat([u, w], axis=2), [64], axis=2)\n[s[0], x @ v, s[1], x @ y]",
        x="32 64",
        u="2 64 64",
        v="64 64",
        w="2 64 64",
        y="3 4 64 64",
    ),
    pair(
        "combine-unequal-batches",
        "[x @ u, x @ v, x @ w]",
        "[x @ u, x @ v, x @ w]",
        x="32 64",
        u="2 64 64",
        v="3 64 64",
        w="2 64 64",
    ),
    pair(
        "combine-two-groups",
        "[x1 @ u, x1 @ v, x1 @ w, x2 @ y + a, x2 @ z + b]",
        "s = split(x1 @ concat([u, v, w], axis=1), [64, 128], axis=2)\n"
        "t = split(x2 @ concat([y, z], axis=1) + concat([a, b], axis=0), [64], axis=2)\n"
        "[s[0], s[1], s[2], t[0], t[1]]",
        a="64",
        b="64",
        **_BATCHED,
    ),
    pair(
        "combine-one-group",
        "[x1 @ u, x1 @ v, x1 @ w, x2 @ y, x2 @ z]",
        "s = split(x1 @ concat([u, v, w], axis=1), [64, 128], axis=2)\n"
        "[s[0], s[1], s[2], x2 @ y, x2 @ z]",
        **_BATCHED,
    ),
    *_at("combine-last-symbolic", _TWO, _TWO_AS_ONE, _WIDTHS, x="2 8 64", u="64 64", v="64 m"),
    *_at("combine-first-symbolic", _TWO, _SWAPPED, _WIDTHS, x="2 8 64", u="64 m", v="64 64"),
    *_at(
        "combine-two-symbolic",
        "[x @ u, x @ v, x @ w]",
        "s = split(x @ concat([v, u], axis=1), [64], axis=2)\n[s[1], s[0], x @ w]",
        ({"m": 1, "n": 1}, {"m": 16, "n": 1}, {"m": 640, "n": 640}),
        x="2 8 64",
        u="64 m",
        v="64 64",
        w="64 n",
    ),
    pair(
        "combine-unequal-biases",
        _BIASED_TWO,
        _BIASED_TWO,
        x="2 3",
        u="3 4",
        v="3 5",
        a="1 4",
        b="2 5",
    ),
    pair(
        "combine-biases-of-one-row",
        _BIASED_TWO,
        "s = split(x @ concat([u, v], axis=1) + concat([a, b], axis=1), [4], axis=1)\n[s[0], s[1]]",
        x="2 3",
        u="3 4",
        v="3 5",
        a="1 4",
        b="1 5",
    ),
    pair(
        "combine-unequal-types",
        "[matmul(x, u, out_dtype='float32'), x @ v]",
        "[matmul(x, u, out_dtype='float32'), x @ v]",
        x="float16 3 4",
        u="float16 4 5",
        v="float16 4 6",
    ),
)

# --- views around products ------------------------------------------------------------------

_JOINED = "x @ permute_dims(concat([a, b], axis=0))"
_FIRST = "x @ concat([permute_dims(w, (0, 1)), permute_dims(a)], axis=1)"
_SECOND = "x @ concat([permute_dims(b), permute_dims(c)], axis=1)"
_SECOND_JOINED = "x @ permute_dims(concat([b, c], axis=0))"
_TABLES = ({"n": 1, "t": 2}, {"n": 4, "t": 16}, {"n": 64, "t": 1000})
_ONE_BY_ONE = "einsum([take(reshape(x @ p, (n, 1, t, 32)), i, axis=2)], subscripts='ijik->ijk')"


def _picked(mode: str) -> tuple[Pair, ...]:
    more = f", mode='{mode}'" if mode else ""
    return _at(
        f"reorder-take-{mode or 'default'}",
        f"x @ take(w, i, axis=1{more})",
        f"take(x @ w, i, axis=2{more})",
        _TABLES,
        x="n 1 16",
        w="16 t",
        i="int64 32",
    )


REORDER = (
    *(
        p
        for axes in ("", ", (1, 0)")
        for p in _at(
            f"reorder-permute{'-named' if axes else ''}",
            f"x @ concat([permute_dims(a), permute_dims(b{axes})], axis=1)",
            _JOINED,
            ({"n": 1}, {"n": 64}),
            x="n 32",
            a="128 32",
            b="128 32",
        )
    ),
    pair("reorder-permute-unlike", _FIRST, _FIRST, x="1 32", w="32 128", a="128 32"),
    pair(
        "reorder-permute-of-some",
        f"[{_FIRST}, {_SECOND}]",
        f"[{_FIRST}, {_SECOND_JOINED}]",
        x="1 32",
        w="32 128",
        a="128 32",
        b="128 32",
        c="128 32",
    ),
    pair(
        "reorder-permute-negative-axis",
        "concat([permute_dims(x, (0, 2, 3, 1)), permute_dims(y, (0, 2, 3, 1))], axis=-1)",
        "permute_dims(concat([x, y], axis=1), (0, 2, 3, 1))",
        x="1 4 8 8",
        y="1 4 8 8",
    ),
    *_picked(""),
    *_picked("clip"),
    *_at(
        "reorder-take-of-weights",
        "x @ take(w, i, axis=0)",
        f"p = reshape(permute_dims(w, (1, 0, 2)), (16, t * 32))\n{_ONE_BY_ONE}",
        _TABLES,
        x="n 1 16",
        w="t 16 32",
        i="int64 n",
    ),
)

PAIRS = (*ORDER, *EXPAND, *COMBINE, *REORDER)
