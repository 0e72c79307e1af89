"""Random tensor programs as data: made from a seed, cut down to what fails, built as modules.

An exact program computes with small whole numbers by operators that keep them whole, so that every
order of summation gives the same bits; a smooth one has transcendentals and divisions as well, but
nothing that jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np

from eqsat.ir import (
    BlockBuilder,
    Constant,
    Expr,
    IRModule,
    TensorType,
    TupleType,
    Var,
    make_call,
    op,
)
from eqsat.shapes import Dim, EqsatError, evaluate, product, sym, symbols

N, M = sym("n"), sym("m")
EDGES = (1, 2, 3, 5, 7, 16, 17, 33)
MAX_ELEMENTS = 40_000
LARGEST = {"n": 33, "m": 33}


@dataclass(frozen=True)
class Ref:
    """The value with this number: parameters and constants first, then steps."""

    index: int


@dataclass(frozen=True)
class Step:
    """A call of an operator; `fields` where its result is a tuple, each a value of its own."""

    op: str
    args: tuple[Any, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    field: int | None = None


@dataclass(frozen=True)
class Source:
    """A parameter (of whole numbers in `bounds`), or a constant."""

    type: TensorType
    bounds: tuple[int, int] = (-2, 3)
    value: np.ndarray | None = None


Node = Source | Step


@dataclass(frozen=True)
class Program:
    """Nodes in order of dependence, and which of them are the results."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]
    is_exact: bool

    def module(self) -> IRModule:
        """Return the program as a module."""
        bb = BlockBuilder()
        values: list[Expr] = []
        for k, node in enumerate(self.nodes):
            values.append(_emit(bb, node, k, values))
        return bb.module([values[k] for k in self.outputs])

    def arguments(self, env: Mapping[str, int], seed: int) -> list[Any]:
        """Return an array for every parameter."""
        rng = np.random.default_rng(seed)
        return [
            draw(rng, n, env, is_exact=self.is_exact)
            for n in self.nodes
            if isinstance(n, Source) and n.value is None
        ]

    def __str__(self) -> str:
        lines = [f"%{k} = {n}" for k, n in enumerate(self.nodes)]
        return "\n".join([*lines, f"return {self.outputs}"])


def draw(rng: np.random.Generator, s: Source, env: Mapping[str, int], *, is_exact: bool) -> Any:
    shape = tuple(evaluate(d, env) for d in s.type.dims)
    dtype = np.dtype(s.type.dtype)
    if dtype.kind == "f" and not is_exact:
        return np.asarray(rng.uniform(-1.5, 1.5, shape)).astype(dtype)
    low, high = (0, 2) if dtype.kind == "b" else s.bounds
    return np.asarray(rng.integers(low, high, shape)).astype(dtype)


def _emit(bb: BlockBuilder, node: Node, k: int, values: Sequence[Expr]) -> Expr:
    if isinstance(node, Source):
        if node.value is not None:
            return Constant(node.value)
        return bb.input(f"x{k}", node.type.dims, node.type.dtype)

    def resolved(a: Any) -> Any:
        if isinstance(a, Ref):
            return values[a.index]
        return [resolved(x) for x in a] if isinstance(a, list) else a

    call = bb.emit(make_call(op(node.op), *(resolved(a) for a in node.args), **node.attrs))
    return call if node.field is None else bb.get_item(call, node.field)


class Maker:
    """Grows one program."""

    def __init__(self, seed: int, length: int) -> None:
        self.rng = Random(seed)
        self.is_exact = self.rng.random() < 0.5
        self.nodes: list[Node] = []
        self.types: list[TensorType] = []
        self.length = length

    def run(self) -> Program:
        for _ in range(self.rng.randint(1, 3)):
            self.source(self.shape(), "float32")
        choices = _ALWAYS + (_EXACT if self.is_exact else _SMOOTH)
        goal = len(self.nodes) + self.length
        for _ in range(8 * self.length):
            if len(self.nodes) >= goal:
                break
            self.attempt(self.rng.choice(choices))
        return Program(tuple(self.nodes), self._outputs(), self.is_exact)

    def _outputs(self) -> tuple[int, ...]:
        used = {r for n in self.nodes if isinstance(n, Step) for r in refs(n.args)}
        last = [k for k, n in enumerate(self.nodes) if isinstance(n, Step) and k not in used]
        outputs = last or [0]
        for _ in range(self.rng.choice((0, 0, 0, 1, 2))):
            outputs.append(self.rng.randrange(len(self.nodes)))
        if len(outputs) > 1 and self.rng.random() < 0.3:
            outputs.append(outputs[0])
        bound = {
            s
            for n in self.nodes
            if isinstance(n, Source) and n.value is None
            for s in symbols(n.type.dims)
        }
        assert all(symbols(self.types[k].dims) <= bound for k in outputs)
        return tuple(outputs)

    def attempt(self, choice: Callable[[Maker], Step | None]) -> None:
        before = len(self.nodes)
        try:
            step = choice(self)
            if step is not None and self.add(step):
                return
        except EqsatError:
            pass
        del self.nodes[before:], self.types[before:]

    def add(self, step: Step) -> bool:
        args = [self._stand_in(a) for a in step.args]
        ty = make_call(op(step.op), *args, **step.attrs).type
        fields = ty.fields if isinstance(ty, TupleType) else (ty,)
        for k, f in enumerate(fields):
            assert isinstance(f, TensorType)
            if not self._fits(f):
                return False
            self.nodes.append(step if len(fields) == 1 else replace(step, field=k))
            self.types.append(f)
        return True

    def _fits(self, ty: TensorType) -> bool:
        if ty.ndim > 5 or evaluate(product(ty.dims), LARGEST) > MAX_ELEMENTS:
            return False
        return all(evaluate(d, {"n": 1, "m": 1}) >= 0 for d in ty.dims)

    def _stand_in(self, a: Any) -> Any:
        if isinstance(a, Ref):
            return Var("v", self.types[a.index])
        return [self._stand_in(x) for x in a] if isinstance(a, list) else a

    # --- drawing ---------------------------------------------------------------------------

    def dim(self) -> Dim:
        if self.rng.random() < 0.35:
            return self.rng.choice((N, M))
        if self.rng.random() < 0.02:
            return 0
        return self.rng.choice(EDGES)

    def shape(self, rank: int | None = None) -> tuple[Dim, ...]:
        wanted = self.rng.choice((1, 2, 2, 3, 3, 4)) if rank is None else rank
        while True:
            shape = tuple(self.dim() for _ in range(wanted))
            if evaluate(product(shape), LARGEST) <= MAX_ELEMENTS:
                return shape

    def source(self, shape: Sequence[Dim], dtype: str, bounds: tuple[int, int] = (-2, 3)) -> Ref:
        """Add a parameter, or a constant where the shape is known."""
        source = Source(TensorType(tuple(shape), dtype), bounds)
        if self.nodes and not symbols(tuple(shape)) and self.rng.random() < 0.5:
            rng = np.random.default_rng(self.rng.randrange(2**32))
            source = replace(source, value=draw(rng, source, {}, is_exact=self.is_exact))
        self.nodes.append(source)
        self.types.append(source.type)
        return Ref(len(self.nodes) - 1)

    def pick(self, rank: int = 0, dtype: str = "float32", ranks: Sequence[int] = ()) -> Ref:
        """Return a value, the newest most often, of at least `rank` axes or one of `ranks`."""
        fit = [
            k
            for k, t in enumerate(self.types)
            if t.dtype == dtype and (t.ndim in ranks if ranks else t.ndim >= rank)
        ]
        if not fit:
            wanted = self.rng.choice(list(ranks)) if ranks else max(rank, 1)
            return self.source(self.shape(wanted), dtype)
        return Ref(fit[-1] if self.rng.random() < 0.5 else self.rng.choice(fit))

    def dims(self, r: Ref) -> tuple[Dim, ...]:
        return self.types[r.index].dims

    def axis(self, r: Ref) -> int:
        rank = len(self.dims(r))
        a = self.rng.randrange(rank)
        return a - rank if self.rng.random() < 0.3 else a

    def partner(self, r: Ref, dtype: str | None = None) -> Ref:
        """Return a value that broadcasts against `r`."""
        dims, dtype = self.dims(r), dtype or self.types[r.index].dtype
        fit = [
            k
            for k, t in enumerate(self.types)
            if t.dtype == dtype and k != r.index and _broadcasts(t.dims, dims)
        ]
        if fit and self.rng.random() < 0.6:
            return Ref(self.rng.choice(fit))
        kept = dims[self.rng.randrange(len(dims)) :] if dims and self.rng.random() < 0.4 else dims
        shape = tuple(1 if self.rng.random() < 0.25 else d for d in kept)
        return self.source(shape, dtype)


def refs(args: Any) -> set[int]:
    if isinstance(args, Ref):
        return {args.index}
    if isinstance(args, (list, tuple)):
        return {r for a in args for r in refs(a)}
    return set()


def _broadcasts(a: Sequence[Dim], b: Sequence[Dim]) -> bool:
    short = min(len(a), len(b))
    return all(
        x == y or x == 1 or y == 1
        for x, y in zip(list(a)[len(a) - short :], list(b)[len(b) - short :], strict=True)
    )


# --- what a step may be ---------------------------------------------------------------------


def _unary(*names: str) -> Callable[[Maker], Step]:
    return lambda m: Step(m.rng.choice(names), (m.pick(),))


def _binary(m: Maker) -> Step:
    a = m.pick()
    pair = [a, m.partner(a)]
    m.rng.shuffle(pair)
    names = ("add", "add", "subtract", "multiply", "maximum", "minimum")
    return Step(m.rng.choice(names), tuple(pair))


def _divide(m: Maker) -> Step:
    a = m.pick()
    b = m.partner(a)
    m.add(Step("exp", (_last_tanh(m, b),)))
    return Step("divide", (a, Ref(len(m.nodes) - 1)))


def _last_tanh(m: Maker, r: Ref) -> Ref:
    m.add(Step("tanh", (r,)))
    return Ref(len(m.nodes) - 1)


def _bounded(m: Maker) -> Step:
    """exp, sqrt, log and rsqrt of what can't run away."""
    name = m.rng.choice(("exp", "sqrt", "log", "rsqrt"))
    inner = _last_tanh(m, m.pick())
    if name == "exp":
        return Step("exp", (inner,))
    m.add(Step("add", (inner, m.source((), "float32"))))
    m.add(Step("exp", (Ref(len(m.nodes) - 1),)))
    return Step(name, (Ref(len(m.nodes) - 1),))


def _scalar(m: Maker) -> Step:
    number = m.rng.choice((-1.0, 0.0, 1.0, 2.0, 0.5) if not m.is_exact else (-1.0, 0.0, 1.0, 2.0))
    value = np.array(number, np.float32)
    m.nodes.append(Source(TensorType((), "float32"), value=value))
    m.types.append(m.nodes[-1].type)  # type: ignore[union-attr]
    pair = [m.pick(), Ref(len(m.nodes) - 1)]
    m.rng.shuffle(pair)
    return Step(m.rng.choice(("add", "multiply", "subtract", "maximum")), tuple(pair))


def _where(m: Maker) -> Step:
    a = m.pick()
    b = m.partner(a)
    mask = m.partner(a, "bool")
    return Step("where", (mask, a, b))


def _compare(m: Maker) -> Step:
    a = m.pick()
    return Step(m.rng.choice(("greater", "less_equal", "equal", "not_equal")), (a, m.partner(a)))


def _logic(m: Maker) -> Step:
    a = m.pick(dtype="bool")
    name = m.rng.choice(("logical_and", "logical_or", "logical_not"))
    return Step(name, (a,) if name == "logical_not" else (a, m.partner(a)))


def _matmul(m: Maker) -> Step:
    a = m.pick(rank=1)
    dims = m.dims(a)
    fit = [k for k, t in enumerate(m.types) if t.dtype == "float32" and t.ndim >= 2]
    fit = [k for k in fit if m.types[k].dims[-2] == dims[-1]]
    if fit and m.rng.random() < 0.4:
        return Step("matmul", (a, Ref(m.rng.choice(fit))))
    batch = dims[:-2] if m.rng.random() < 0.3 else ()
    if m.rng.random() < 0.1:
        return Step("matmul", (a, m.source((dims[-1],), "float32")))
    return Step("matmul", (a, m.source((*batch, dims[-1], m.dim()), "float32")))


def _gram(m: Maker) -> Step:
    """x @ xᵀ, as in attention."""
    a = m.pick(rank=2)
    rank = len(m.dims(a))
    m.add(Step("permute_dims", (a,), {"axes": (*range(rank - 2), rank - 1, rank - 2)}))
    pair = (a, Ref(len(m.nodes) - 1))
    return Step("matmul", pair if m.rng.random() < 0.5 else pair[::-1])


def _linear(m: Maker) -> Step:
    a, p = m.pick(rank=2), m.rng.choice(EDGES)
    w = m.source((p, m.dims(a)[-1]), "float32")
    return Step("linear", (a, w, m.source((p,), "float32") if m.rng.random() < 0.6 else None))


def _conv(m: Maker) -> Step | None:
    x = m.pick(ranks=(3, 4))
    _, c, *spatial = m.dims(x)
    if not isinstance(c, int) or c == 0:
        return None
    rank = len(spatial)
    groups = m.rng.choice([g for g in (1, 1, 1, 2, c) if c % g == 0])
    kernel = tuple(m.rng.choice((1, 1, 2, 3)) for _ in spatial)
    weight = m.source((groups * m.rng.choice((1, 2, 3, 8)), c // groups, *kernel), "float32")
    attrs = {
        "strides": tuple(m.rng.choice((1, 1, 2)) for _ in spatial),
        "padding": tuple(m.rng.choice((0, 1, 2)) for _ in range(2 * rank)),
        "dilation": tuple(m.rng.choice((1, 1, 2)) for _ in spatial),
        "groups": groups,
    }
    return Step(f"nn.conv{rank}d", (x, weight), attrs)


def _pool(m: Maker) -> Step:
    x = m.pick(ranks=(3, 4))
    rank = len(m.dims(x)) - 2
    names = ("nn.max_pool",) if m.is_exact else ("nn.max_pool", "nn.avg_pool")
    kernel = tuple(m.rng.choice((1, 2, 3)) for _ in range(rank))
    attrs = {
        "pool_size": kernel,
        "strides": tuple(m.rng.choice((1, 2)) for _ in range(rank)),
        "padding": tuple(m.rng.choice((0, k // 2)) for k in (*kernel, *kernel)),
        "ceil_mode": m.rng.random() < 0.2,
    }
    return Step(f"{m.rng.choice(names)}{rank}d", (x,), attrs)


def _reshape(m: Maker) -> Step:
    x = m.pick(rank=1)
    dims = list(m.dims(x))
    match m.rng.randrange(4):
        case 0:
            dims = [product(dims)]
        case 1 if len(dims) > 1:
            k = m.rng.randrange(len(dims) - 1)
            dims[k : k + 2] = [dims[k] * dims[k + 1]]
        case 2:
            k = m.rng.randrange(len(dims))
            d = dims[k]
            divisors = [f for f in (2, 3, 4, 5, 7, 8, 11) if isinstance(d, int) and d % f == 0]
            if divisors and isinstance(d, int) and d:
                f = m.rng.choice(divisors)
                dims[k : k + 1] = m.rng.choice(([f, d // f], [d // f, f]))
        case _:
            dims.insert(m.rng.randrange(len(dims) + 1), 1)
    return Step("reshape", (x, tuple(dims)))


def _permute(m: Maker) -> Step:
    x = m.pick(rank=2)
    axes = list(range(len(m.dims(x))))
    m.rng.shuffle(axes)
    return Step("permute_dims", (x,), {"axes": tuple(axes)})


def _axes_step(m: Maker) -> Step:
    if m.rng.random() < 0.5:
        x = m.pick()
        return Step("expand_dims", (x,), {"axis": m.rng.randrange(len(m.dims(x)) + 1)})
    x = m.pick(rank=1)
    ones = [a for a, d in enumerate(m.dims(x)) if d == 1]
    attrs = {"axis": (m.rng.choice(ones),)} if ones and m.rng.random() < 0.7 else {}
    return Step("squeeze", (x,), attrs)


def _slice(m: Maker) -> Step:
    x = m.pick(rank=1)
    a = m.axis(x)
    stride = m.rng.choice((1, 1, 1, 2, 3, -1, -2))
    begin, end = m.rng.choice((0, 0, 1, 2, -1, -3)), m.rng.choice((2**31 - 1, 5, 2, -1, 17))
    if stride < 0:
        begin, end = m.rng.choice((-1, 3, 2**31 - 1)), m.rng.choice((0, -(2**31), -4))
    attrs = {"axes": (a,), "begin": (begin,), "end": (end,), "strides": (stride,)}
    return Step("strided_slice", (x,), attrs)


def _concat(m: Maker) -> Step:
    x = m.pick(rank=1)
    a, dims = m.axis(x), list(m.dims(x))
    parts = [x]
    for _ in range(m.rng.choice((1, 1, 2))):
        if m.rng.random() < 0.3:
            parts.append(x)
            continue
        like = [k for k, t in enumerate(m.types) if t == m.types[x.index]]
        if m.rng.random() < 0.5:
            parts.append(Ref(m.rng.choice(like)))
        else:
            dims[a] = m.dim()
            parts.append(m.source(dims, "float32"))
    m.rng.shuffle(parts)
    return Step("concat", (parts,), {"axis": a})


def _stack(m: Maker) -> Step:
    x = m.pick()
    like = [k for k, t in enumerate(m.types) if t == m.types[x.index]]
    parts = [x, *(Ref(m.rng.choice(like)) for _ in range(m.rng.choice((1, 2))))]
    return Step("stack", (parts,), {"axis": m.rng.randrange(len(m.dims(x)) + 1)})


def _split(m: Maker) -> Step | None:
    x = m.pick(rank=1)
    a = m.axis(x)
    d = m.dims(x)[a]
    if not isinstance(d, int) or d < 2:
        return None
    if m.rng.random() < 0.5:
        return Step("split", (x,), {"indices_or_sections": (m.rng.randrange(1, d),), "axis": a})
    sections = m.rng.choice([s for s in (2, 3, 4, d) if d % s == 0] or [d])
    return (
        None if sections > 8 else Step("split", (x,), {"indices_or_sections": sections, "axis": a})
    )


def _softmax(m: Maker) -> Step:
    x = m.pick(rank=1)
    name = m.rng.choice(("nn.softmax", "nn.softmax", "nn.log_softmax"))
    return Step(name, (x,), {"axis": m.axis(x) if m.rng.random() < 0.5 else -1})


def _norm(m: Maker) -> Step:
    x = m.pick(rank=2)
    dims = m.dims(x)
    d = dims[-1]
    scale = m.source((d,), "float32")
    # The epsilon keeps rows of equal values from blowing rounding errors up.
    if m.rng.random() < 0.5:
        return Step("nn.rms_norm", (x, scale), {"axes": (-1,), "epsilon": 0.5})
    return Step(
        "nn.layer_norm", (x, scale, m.source((d,), "float32")), {"axes": (-1,), "epsilon": 0.5}
    )


def _reduce(m: Maker) -> Step:
    x = m.pick(rank=1)
    rank = len(m.dims(x))
    axes = m.rng.sample(range(rank), m.rng.randint(1, rank))
    if m.rng.random() < 0.3:
        axes = [a - rank for a in axes]
    names = ("sum", "max", "min") if m.is_exact else ("sum", "mean", "max", "min", "variance")
    attrs = {"axis": tuple(axes), "keepdims": m.rng.random() < 0.5}
    return Step(m.rng.choice(names), (x,), attrs)


def _broadcast(m: Maker) -> Step:
    x = m.pick()
    dims = [m.dim() if d == 1 and m.rng.random() < 0.5 else d for d in m.dims(x)]
    bound = symbols(tuple(d for t in m.types for d in t.dims))
    lead = [m.dim()] if m.rng.random() < 0.5 else []
    shape = tuple(d if symbols((d,)) <= bound else 4 for d in (*lead, *dims))
    return Step("broadcast_to", (x, shape))


def _take(m: Maker) -> Step | None:
    x = m.pick(rank=1)
    a = m.axis(x)
    if m.dims(x)[a] == 0:
        return None
    indices = m.source(m.shape(m.rng.choice((0, 1, 1, 2))), "int64", (-3, 4))
    return Step("take", (x, indices), {"axis": a})


def _pad(m: Maker) -> Step:
    x = m.pick(rank=1)
    width = tuple(m.rng.choice((0, 0, 1, 3)) for _ in range(2 * len(m.dims(x))))
    return Step("nn.pad", (x,), {"pad_width": width, "pad_value": m.rng.choice((0.0, 1.0))})


def _move(m: Maker) -> Step:
    x = m.pick(rank=1)
    a = m.axis(x)
    match m.rng.randrange(5):
        case 0:
            return Step("flip", (x,), {"axis": a})
        case 1:
            return Step("repeat", (x,), {"repeats": m.rng.choice((1, 2, 3)), "axis": a})
        case 2:
            return Step("tile", (x,), {"repeats": tuple(m.rng.choice((1, 2)) for _ in m.dims(x))})
        case 3:
            return Step("cumsum", (x,), {"axis": a})
        case _:
            x = m.pick(rank=2)
            return Step(m.rng.choice(("tril", "triu")), (x,), {"k": m.rng.choice((-1, 0, 1))})


def _integers(m: Maker) -> Step:
    if m.rng.random() < 0.5:
        return Step("astype", (m.pick(),), {"dtype": "int32"})
    if m.rng.random() < 0.3:
        return Step("astype", (m.pick(dtype="bool"),), {"dtype": "float32"})
    a = m.pick(dtype="int32")
    if m.rng.random() < 0.4:
        return Step("astype", (a,), {"dtype": "float32"})
    return Step(m.rng.choice(("add", "multiply", "maximum", "subtract")), (a, m.partner(a)))


def _argmax(m: Maker) -> Step:
    x = m.pick(rank=1)
    attrs = {"axis": m.axis(x), "keepdims": m.rng.random() < 0.5}
    return Step(m.rng.choice(("argmax", "argmin")), (x,), attrs)


_ALWAYS = (
    *(_binary,) * 4,
    *(_scalar,) * 2,
    _unary("nn.relu", "negative", "abs"),
    _where,
    *(_matmul,) * 3,
    _gram,
    _linear,
    *(_conv,) * 2,
    *(_pool,) * 2,
    *(_reshape,) * 2,
    *(_permute,) * 2,
    _axes_step,
    *(_slice,) * 2,
    *(_concat,) * 2,
    _stack,
    *(_split,) * 2,
    *(_reduce,) * 3,
    _broadcast,
    _take,
    _pad,
    _move,
)
_SMOOTH = (
    *(_unary("tanh", "sigmoid", "nn.gelu", "nn.silu", "erf"),) * 3,
    _bounded,
    _divide,
    *(_softmax,) * 2,
    *(_norm,) * 2,
)
_EXACT = (_unary("floor", "sign", "round"), _compare, _logic, _integers, _argmax)


def make(seed: int, length: int) -> Program:
    """Return the program of a seed with about `length` steps."""
    return Maker(seed, length).run()
