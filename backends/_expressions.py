"""Expressions of TensorIR: addresses, loads, stores, and scalar or vector values."""

from __future__ import annotations

from dataclasses import dataclass

from eqsat.backends._errors import CodegenError
from eqsat.backends._scope import IndexArithmetic
from eqsat.backends._values import Value, memory_type, type_of, vector_of
from eqsat.ir._simplify import Poly, add, as_constant, constant, mul
from eqsat.ir.tir import (
    COMPARISONS,
    Binary,
    Buffer,
    BufferLoad,
    Cast,
    FloatImm,
    IntImm,
    Intrinsic,
    Not,
    PrimExpr,
    Select,
    Var,
    walk,
)
from eqsat.shapes import itemsize

_HINTS = ("likely", "assume", "ignore_loop_partition", "tvm_thread_invariant")
"""Functions that give their argument, and say something of it."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The vectorized loop around: its variable is `start` + lane number."""

    var: Var
    lanes: int
    start: Poly


@dataclass(frozen=True, slots=True)
class Address:
    """Where the lanes of an access lie: `base` + lane * `stride` elements, or at `indices`."""

    base: str
    stride: int | None
    indices: Value | None = None


class Expressions(IndexArithmetic):
    """Emits values; `pointers` holds the address of each buffer, `mask` the lanes that are live."""

    def __init__(self) -> None:
        super().__init__()
        self.pointers: dict[Buffer, str] = {}
        self.lane: Lane | None = None
        self.mask: Value | None = None

    # --- values -----------------------------------------------------------------------------

    def value(self, e: PrimExpr) -> Value:
        """Return the value of `e`, a vector where it differs from lane to lane."""
        if isinstance(e, (Var, Binary)) and e.dtype == "int64" and not reads_memory(e):
            return self.poly_value(self.poly(e))
        match e:
            case IntImm(value, dtype) | FloatImm(value, dtype):
                return self.literal(value, dtype)
            case Var():
                if e not in self.names:
                    self.atom_depth(e)
                return self.names[e]
            case Binary("and", a, b):
                return self._conjunction(a, b)
            case Binary(op, a, b) if op in COMPARISONS and a.dtype == "int64":
                return self._comparison(e)
            case Binary(op, a, b):
                return self.binary(op, self.value(a), self.value(b))
            case Not(a):
                return self.negate(self.value(a))
            case _:
                return self._compound(e)

    def _compound(self, e: PrimExpr) -> Value:
        match e:
            case Cast(dtype, a):
                return self.cast(self.value(a), dtype)
            case BufferLoad(buffer, indices):
                return self.load(buffer, self.flat_index(buffer, indices))
            case Select():
                return self._select(e)
            case Intrinsic("if_then_else", (c, a, b), _):
                return self._select(Select(c, a, b, lazy=True))
            case Intrinsic(name, (a,), _) if name in _HINTS:
                return self.value(a)
            case Intrinsic("reinterpret", (a,), dtype):
                value = self.value(a)
                held, wanted = (
                    vector_of(memory_type(d), value.lanes) for d in (value.dtype, dtype)
                )
                bits = self.emit(f"bitcast {held} {self.to_memory(value)} to {wanted}")
                return self.from_memory(bits, dtype, value.lanes)
            case Intrinsic(name, args, dtype):
                return self.function(name, [self.value(a) for a in args], dtype)
            case _:
                raise CodegenError(f"expression {type(e).__name__} has no native code: {e!r}")

    def value_of_atom(self, atom: PrimExpr) -> Value:
        """Return an int64 atom of a polynomial that must be computed as a value."""
        match atom:
            case Binary(op, a, b):
                return self.binary(op, self.poly_value(self.poly(a)), self.poly_value(self.poly(b)))
            case _:
                return self.value(atom)

    def poly_value(self, p: Poly) -> Value:
        """Return an int64 polynomial, as a vector where it depends on the lane."""
        if not self._varies(p):
            return self.i64(p)
        assert self.lane is not None
        lanes = self.lane.lanes
        split = self.lane_split(p)
        if split is not None:
            stride, rest = split
            start = self.splat(self.i64(rest), lanes)
            step = stride if isinstance(stride, str) else str(stride)
            return self.binary("+", start, self._iota(lanes, step))
        total: Value | None = None
        for m, c in p.items():
            term = self.literal(c, "int64")
            for atom in m:
                if isinstance(atom, Var):
                    factor = self.poly_value({(atom,): 1})
                elif self._varies({(atom,): 1}):
                    factor = self.value_of_atom(atom)
                else:
                    factor = Value(self.scalar({(atom,): 1}), "int64")
                term = self.binary("*", term, factor) if term.text != "1" else factor
            total = term if total is None else self.binary("+", total, term)
        assert total is not None
        return total

    def _iota(self, lanes: int, step: str) -> Value:
        numbers = ", ".join(f"i64 {i}" for i in range(lanes))
        iota = Value(f"<{numbers}>", "int64", lanes)
        if step == "1":
            return iota
        return self.binary("*", iota, self.splat(Value(step, "int64"), lanes))

    def _varies(self, p: Poly) -> bool:
        return self.lane is not None and any(self._atom_varies(a) for m in p for a in m)

    def _atom_varies(self, atom: PrimExpr) -> bool:
        lane = self.lane
        assert lane is not None
        if isinstance(atom, Var):
            held = self.names.get(atom)
            return atom is lane.var or (held is not None and held.lanes > 0)
        for n in walk(atom):
            if isinstance(n, Var) and n in self.values:
                if any(lane.var in m or self._vector_in(m) for m in self.values[n]):
                    return True
            elif isinstance(n, Var) and self._atom_varies(n):
                return True
        return False

    def _vector_in(self, m: tuple[PrimExpr, ...]) -> bool:
        return any(self._atom_varies(a) for a in m)

    def lane_split(self, p: Poly) -> tuple[int | str, Poly] | None:
        """Return (stride, value at lane 0) if `p` is linear in the lane number, else None.

        The stride is an int, or the name of a uniform value.
        """
        lane = self.lane
        assert lane is not None
        slope: Poly = {}
        rest: Poly = {}
        for m, c in p.items():
            varying = [i for i, a in enumerate(m) if self._atom_varies(a)]
            if not varying:
                rest[m] = c
            elif len(varying) == 1 and m[varying[0]] is lane.var:
                slope[m[: varying[0]] + m[varying[0] + 1 :]] = c
            else:
                return None
        number = as_constant(slope)
        rest = add(rest, mul(slope, lane.start))
        return (self.scalar(slope) if number is None else number), rest

    # --- conditions -------------------------------------------------------------------------

    def _conjunction(self, a: PrimExpr, b: PrimExpr) -> Value:
        left = self.value(a)
        if left.text == "false":
            return left
        right = self.value(b)
        if "true" in (left.text, right.text) or right.text == "false":
            return right if left.text == "true" or right.text == "false" else left
        return self.binary("and", left, right)

    def _comparison(self, e: Binary) -> Value:
        if reads_memory(e):
            return self.binary(e.op, self.value(e.a), self.value(e.b))
        a, b = self.poly(e.a), self.poly(e.b)
        decided = self.simplifier.comparison(e.op, a, b)
        if isinstance(decided, IntImm):
            return self.literal(decided.value, "bool")
        bounded = self._lane_bound(e.op, a, b)
        if bounded is not None:
            return bounded
        return self.binary(e.op, self.poly_value(a), self.poly_value(b))

    def _lane_bound(self, op: str, a: Poly, b: Poly) -> Value | None:
        """Compare lane numbers with one clamped limit: 32-bit vectors instead of 64-bit ones."""
        p = add(b, a, -1)
        if op in ("==", "!=") or not self._varies(p):
            return None
        split = self.lane_split(p)
        if split is None or split[0] not in (1, -1):
            return None
        assert self.lane is not None
        lanes, (stride, rest) = self.lane.lanes, split
        # rest + stride * lane OP' 0, where OP' is the mirrored comparison of b - a with 0.
        if op in ("<", ">"):
            rest = add(rest, constant(-1), 1 if op == "<" else -1)
        if op in (">", ">="):
            rest, stride = add({}, rest, -1), -int(stride)
        # Now: rest + stride * lane >= 0.
        limit = rest if stride == -1 else add({}, rest, -1)
        low, high = ("-1", str(lanes))
        for name, end in (("smax", low), ("smin", high)):
            self.declarations.add(f"declare i64 @llvm.{name}.i64(i64, i64)")
            text = limit if isinstance(limit, str) else self.scalar(limit)
            limit = self.emit(f"call i64 @llvm.{name}.i64(i64 {text}, i64 {end})")
        short = Value(self.emit(f"trunc i64 {limit} to i32"), "int32")
        numbers = ", ".join(f"i32 {i}" for i in range(lanes))
        iota = Value(f"<{numbers}>", "int32", lanes)
        return self.binary("<=" if stride == -1 else ">=", iota, short)

    def _select(self, e: Select) -> Value:
        condition = self.value(e.condition)
        if condition.text in ("true", "false"):
            return self.value(e.a if condition.text == "true" else e.b)
        guarded = e.lazy and (reads_memory(e.a) or reads_memory(e.b))
        if not guarded:
            return self.select(condition, self.value(e.a), self.value(e.b))
        if condition.lanes:
            outer = self.mask
            self.mask = self.both(outer, condition)
            a = self.value(e.a)
            self.mask = outer
            if reads_memory(e.b):
                self.mask = self.both(outer, self.negate(condition))
            b = self.value(e.b)
            self.mask = outer
            return self.select(condition, a, b)
        return self._branching_select(e, condition)

    def both(self, outer: Value | None, condition: Value) -> Value:
        """Return `outer and condition` as a mask."""
        assert self.lane is not None
        condition = self.splat(condition, self.lane.lanes)
        return condition if outer is None else self.binary("and", outer, condition)

    def _branching_select(self, e: Select, condition: Value) -> Value:
        lanes = self.lane.lanes if self.lane else 0
        yes, no, end = self.label("then"), self.label("else"), self.label("join")
        before = self.branch(condition, yes, no)
        incoming: list[tuple[str, str]] = []
        for label, side in ((yes, e.a), (no, e.b)):
            self.open_side(label, before)
            v = self.splat(self.value(side), lanes)
            incoming.append((v.text, self.block))
            self.close_side(end)
        self.begin(end)
        pairs = ", ".join(f"[ {text}, %{block} ]" for text, block in incoming)
        held = type_of(e.dtype, lanes)
        return Value(self.emit(f"phi {held} {pairs}"), e.dtype, lanes)

    # --- memory -----------------------------------------------------------------------------

    def flat_index(self, buffer: Buffer, indices: tuple[PrimExpr, ...]) -> Poly:
        """Return the row-major element number."""
        if len(indices) != len(buffer.shape):
            raise CodegenError(
                f"buffer {buffer.name} has rank {len(buffer.shape)}, indexed by {len(indices)}"
            )
        flat: Poly = {}
        for index, size in zip(indices, buffer.shape, strict=True):
            if flat:
                flat = mul(flat, self.poly(size))
            flat = add(flat, self._index(index))
        return self.simplifier.joined(flat)

    def _index(self, index: PrimExpr) -> Poly:
        if index.dtype != "int64":
            index = Cast("int64", index)
        return self.poly(index)

    def address(self, buffer: Buffer, p: Poly) -> Address:
        """Return where element `p` of the buffer is, for every lane."""
        if buffer not in self.pointers:
            raise CodegenError(f"buffer {buffer.name} is neither a parameter nor allocated here")
        if not self._varies(p):
            return Address(self._element(buffer, p), 0)
        assert self.lane is not None
        split = self.lane_split(p)
        if split is None:
            return Address(self.pointers[buffer], None, self.poly_value(p))
        stride, rest = split
        if isinstance(stride, int):
            return Address(self._element(buffer, rest), stride)
        return Address(self._element(buffer, rest), None, self._iota(self.lane.lanes, stride))

    def _element(self, buffer: Buffer, p: Poly) -> str:
        element, base = memory_type(buffer.dtype), self.pointers[buffer]
        number = p.get((), 0)
        moving = {m: c for m, c in p.items() if m}
        if moving:
            depth = max(self.atom_depth(a) for m in moving for a in m)
            index = self.scalar(moving)
            base = self._at(
                depth, ("p", base, index), f"getelementptr {element}, ptr {base}, i64 {index}"
            )
        if number:
            base = self.emit(f"getelementptr {element}, ptr {base}, i64 {number}")
        return base

    def load(self, buffer: Buffer, p: Poly) -> Value:
        """Return the element, or one per lane, of the buffer."""
        lane = self.lane and (self.lane.var, self.lane.lanes, frozenset(self.lane.start.items()))
        key = (buffer, frozenset(p.items()), self.mask, lane)
        stable = all(isinstance(a, Var) for m in p for a in m)
        loads = self.scopes[-1].loads
        if stable and key in loads:
            return loads[key]
        value = self._load(buffer, p)
        if stable:
            loads[key] = value
        return value

    def _load(self, buffer: Buffer, p: Poly) -> Value:
        at = self.address(buffer, p)
        element, align = memory_type(buffer.dtype), itemsize(buffer.dtype)
        if at.stride == 0:
            guard = self._scalar_guard(buffer, p)
            if guard is not None:
                return self._guarded_load(buffer, at.base, guard)
            text = self.emit(f"load {element}, ptr {at.base}, align {align}")
            return self.from_memory(text, buffer.dtype, 0)
        assert self.lane is not None
        lanes, mask = self.lane.lanes, self.mask
        if mask is not None and self._in_bounds(buffer, p):
            mask = None
        if at.stride == 1 and mask is None:
            text = self.emit(f"load <{lanes} x {element}>, ptr {at.base}, align {align}")
        elif at.stride == 1:
            text = self._masked_load(at.base, element, align, mask)
        elif at.stride == 2 and mask is None:
            text = self._every_second(at.base, element, align)
        elif at.stride is not None and mask is None:
            text = self._lane_by_lane(at, element, align)
        else:
            text = self._gather(buffer, at, element, align)
        return self.from_memory(text, buffer.dtype, lanes)

    def _scalar_guard(self, buffer: Buffer, p: Poly) -> Value | None:
        # One element for all lanes, under a mask: in reach only if some lane is live.
        if self.mask is None or self._in_bounds(buffer, p):
            return None
        return self.mask

    def _guarded_load(self, buffer: Buffer, base: str, mask: Value) -> Value:
        element, align = memory_type(buffer.dtype), itemsize(buffer.dtype)
        vector = self._masked_load(base, element, align, self._some_lane(mask))
        text = self.emit(f"extractelement <1 x {element}> {vector}, i64 0")
        return self.from_memory(text, buffer.dtype, 0)

    def _some_lane(self, mask: Value) -> Value:
        """Return a mask of one lane: whether any lane is live."""
        name = f"llvm.vector.reduce.or.v{mask.lanes}i1"
        some = self.intrinsic(name, "i1", (type_of("bool", mask.lanes), mask.text))
        one = self.emit(f"insertelement <1 x i1> poison, i1 {some}, i64 0")
        return Value(one, "bool", 1)

    def _in_bounds(self, buffer: Buffer, p: Poly) -> bool:
        """Whether every lane lies inside the buffer whatever the mask (decided for local ones)."""
        if buffer.scope != "local":
            return False
        size: Poly = constant(1)
        for d in buffer.shape:
            size = mul(size, self.poly(d))
        fits = self.simplifier.nonnegative
        return fits(p) and fits(add(add(size, p, -1), constant(-1)))

    def _masked_load(self, base: str, element: str, align: int, mask: Value | None) -> str:
        assert mask is not None
        vector = vector_of(element, mask.lanes)
        suffix = f"v{mask.lanes}{_short(element)}"
        name, m = f"llvm.masked.load.{suffix}.p0", type_of("bool", mask.lanes)
        self.declarations.add(f"declare {vector} @{name}(ptr, {m}, {vector})")
        return self.emit(
            f"call {vector} @{name}(ptr align {align} {base}, {m} {mask.text}, "
            f"{vector} zeroinitializer)"
        )

    def _every_second(self, base: str, element: str, align: int) -> str:
        """Two loads that end exactly at the last element needed, and a shuffle."""
        assert self.lane is not None
        lanes = self.lane.lanes
        vector = vector_of(element, lanes)
        low = self.emit(f"load {vector}, ptr {base}, align {align}")
        end = self.emit(f"getelementptr {element}, ptr {base}, i64 {lanes - 1}")
        high = self.emit(f"load {vector}, ptr {end}, align {align}")
        picks = [2 * i if 2 * i < lanes else lanes + 2 * i - (lanes - 1) for i in range(lanes)]
        text = ", ".join(f"i32 {i}" for i in picks)
        return self.emit(f"shufflevector {vector} {low}, {vector} {high}, <{lanes} x i32> <{text}>")

    def _lane_by_lane(self, at: Address, element: str, align: int) -> str:
        assert self.lane is not None
        assert at.stride is not None
        lanes, vector = self.lane.lanes, "poison"
        for i in range(lanes):
            place = self.emit(f"getelementptr {element}, ptr {at.base}, i64 {i * at.stride}")
            one = self.emit(f"load {element}, ptr {place}, align {align}")
            vector = self.emit(
                f"insertelement <{lanes} x {element}> {vector}, {element} {one}, i64 {i}"
            )
        return vector

    def _places(self, at: Address, element: str) -> tuple[str, Value]:
        """Return a vector of pointers and the mask of an irregular access."""
        assert self.lane is not None
        lanes = self.lane.lanes
        indices = at.indices if at.indices is not None else self._iota(lanes, str(at.stride))
        indices = self.splat(indices, lanes)
        places = self.emit(
            f"getelementptr {element}, ptr {at.base}, <{lanes} x i64> {indices.text}"
        )
        mask = self.mask or Value("splat (i1 true)", "bool", lanes)
        return places, mask

    def _gather(self, buffer: Buffer, at: Address, element: str, align: int) -> str:
        places, mask = self._places(at, element)
        lanes = mask.lanes
        vector, m = vector_of(element, lanes), type_of("bool", lanes)
        pointers = f"<{lanes} x ptr>"
        name = f"llvm.masked.gather.v{lanes}{_short(element)}.v{lanes}p0"
        self.declarations.add(f"declare {vector} @{name}({pointers}, {m}, {vector})")
        return self.emit(
            f"call {vector} @{name}({pointers} align {align} {places}, {m} {mask.text}, "
            f"{vector} zeroinitializer)"
        )

    def store(self, buffer: Buffer, p: Poly, value: Value) -> None:
        """Store a value, one per live lane."""
        at = self.address(buffer, p)
        for scope in self.scopes:
            for key in [k for k in scope.loads if k[0] is buffer]:
                del scope.loads[key]
        element, align = memory_type(buffer.dtype), itemsize(buffer.dtype)
        if at.stride == 0 and (self.lane is None or not (value.lanes or self.mask)):
            text = self.to_memory(value)
            self.lines.append(f"  store {element} {text}, ptr {at.base}, align {align}")
            return
        assert self.lane is not None
        lanes = self.lane.lanes
        if at.stride == 0 and self.mask is not None and not value.lanes:
            self._store_of_some_lane(buffer, at.base, value, self.mask)
            return
        if at.stride == 0:
            raise CodegenError(
                f"all lanes of the vectorized loop over {self.lane.var.name} store one element of "
                f"{buffer.name}; write it as a reduction (b[i] = b[i] + x) or use a serial loop"
            )
        value = self.splat(value, lanes)
        if at.stride == 1:
            self._store_row(buffer, p, at.base, value)
            return
        vector, places_type = vector_of(element, lanes), f"<{lanes} x ptr>"
        text = self.to_memory(value)
        places, mask = self._places(at, element)
        m = type_of("bool", lanes)
        name = f"llvm.masked.scatter.v{lanes}{_short(element)}.v{lanes}p0"
        self.declarations.add(f"declare void @{name}({vector}, {places_type}, {m})")
        self.lines.append(
            f"  call void @{name}({vector} {text}, {places_type} align {align} {places}, "
            f"{m} {mask.text})"
        )

    def _store_of_some_lane(self, buffer: Buffer, base: str, value: Value, mask: Value) -> None:
        element, align = memory_type(buffer.dtype), itemsize(buffer.dtype)
        text = self.emit(f"insertelement <1 x {element}> poison, {element} "
                         f"{self.to_memory(value)}, i64 0")  # fmt: skip
        name = f"llvm.masked.store.v1{_short(element)}.p0"
        self.declarations.add(f"declare void @{name}(<1 x {element}>, ptr, <1 x i1>)")
        self.lines.append(
            f"  call void @{name}(<1 x {element}> {text}, ptr align {align} {base}, "
            f"<1 x i1> {self._some_lane(mask).text})"
        )

    def _store_row(self, buffer: Buffer, p: Poly, base: str, value: Value) -> None:
        element, align = memory_type(buffer.dtype), itemsize(buffer.dtype)
        vector, mask = vector_of(element, value.lanes), self.mask
        if mask is not None and self._in_bounds(buffer, p):
            # Registers cannot be stored in part: blend with what is there.
            old = self.emit(f"load {vector}, ptr {base}, align {align}")
            value = self.select(mask, value, self.from_memory(old, buffer.dtype, value.lanes))
            mask = None
        text = self.to_memory(value)
        if mask is None:
            self.lines.append(f"  store {vector} {text}, ptr {base}, align {align}")
            return
        m = type_of("bool", value.lanes)
        name = f"llvm.masked.store.v{value.lanes}{_short(element)}.p0"
        self.declarations.add(f"declare void @{name}({vector}, ptr, {m})")
        self.lines.append(
            f"  call void @{name}({vector} {text}, ptr align {align} {base}, {m} {mask.text})"
        )


def reads_memory(e: PrimExpr) -> bool:
    """Say whether evaluating `e` loads from a buffer."""
    return any(isinstance(n, BufferLoad) for n in walk(e))


def _short(element: str) -> str:
    return {"float": "f32", "double": "f64", "half": "f16"}.get(element, element)
