"""Reading TensorIR expressions."""

from __future__ import annotations

import ast
from collections.abc import Callable

from eqsat.ir._tir import (
    COMPARISONS,
    LOGICAL,
    Address,
    Binary,
    BinaryOp,
    Buffer,
    BufferLoad,
    Cast,
    FloatImm,
    IntImm,
    Intrinsic,
    Not,
    PrimExpr,
    Select,
    StringImm,
    binary,
    const,
)
from eqsat.ir.script._intrinsics import BINARY_FUNCTIONS, FUNCTIONS, OTHER_NAMES, result_dtype
from eqsat.ir.script._parse_tir_displays import Named
from eqsat.ir.script._parse_tir_vectors import as_access, lanes_removed, num_lanes
from eqsat.ir.script._parse_tir_views import View, difference
from eqsat.ir.script._parse_values import scalar_of
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import (
    bind,
    callee,
    dotted,
    literal,
    required,
    text_literal,
)
from eqsat.shapes import bits, is_dtype, is_float, is_int, max_value, min_value

_OPERATORS: dict[type[ast.operator], BinaryOp] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], BinaryOp] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_SHIFTS = ("<<", ">>")


class TirExprReader:
    """Reads scalar expressions; `names` maps names to variables and buffers."""

    def __init__(self, source: Source, names: dict[str, Named]) -> None:
        self.source = source
        self.names = names
        self.scalars: set[Buffer] = set()  # that a bare name loads and stores
        self.views: dict[Buffer, View] = {}
        self.functions = self._own_functions()  # of T., by name
        self.methods = {"vload": self._vector_load}  # of buffers, by name
        self.lane: tuple[PrimExpr, int] | None = None  # of the vectors of the store that is read

    def expr(self, node: ast.expr) -> PrimExpr:  # noqa: C901 - one case per node
        """Return the expression of `node`; a bare Python integer is int64, a float float32.

        Raises:
            ParseError: it is no TensorIR expression.
        """
        match node:
            case ast.Constant(value=bool() as value):
                return IntImm(int(value), "bool")
            case ast.Constant(value=int() as value):
                return IntImm(self._fits(node, value, "int64"))
            case ast.Constant(value=float() as value):
                return FloatImm(value)
            case ast.Constant(value=str() as value):
                return StringImm(value)
            case ast.Name(id=name):
                bound = self.names.get(name)
                if isinstance(bound, PrimExpr):
                    return bound
                if bound in self.scalars:
                    return BufferLoad(bound, ())
                what = "a buffer; index it" if isinstance(bound, Buffer) else "not defined"
                raise self.source.error(node, f"{name} is {what}")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self.binary(node, _OPERATORS[type(op)], left, right)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                a, b = self.matched(node, self.expr(left), self.expr(right))
                return Intrinsic("pow", (a, b), a.dtype)
            case ast.BoolOp(op=op, values=values):
                word: BinaryOp = "and" if isinstance(op, ast.And) else "or"
                result = self.condition(values[0])
                for value in values[1:]:
                    result = Binary(word, result, self.condition(value))
                return result
            case ast.UnaryOp():
                return self._unary(node)
            case ast.Compare(left=left, ops=ops, comparators=rights):
                return self._compare(node, left, ops, rights)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                a, b = self.matched(node, self.expr(body), self.expr(orelse))
                return Select(self.condition(test), a, b, lazy=True)
            case ast.Subscript():
                return self._load(node)
            case ast.Attribute(value=of, attr="data") if self._is_buffer(of):
                return self.address(self.buffer(of), ())
            case ast.Call():
                return self._call(node)
            case _:
                raise self.source.error(node, f"{ast.unparse(node)} is not a TensorIR expression")

    def condition(self, node: ast.expr) -> PrimExpr:
        """Return a boolean expression.

        Raises:
            ParseError: it has another dtype.
        """
        e = self.expr(node)
        if e.dtype != "bool":
            raise self.source.error(node, f"a condition is bool, this is {e.dtype}")
        return e

    def _fits(self, node: ast.AST, value: int, dtype: str) -> int:
        if is_int(dtype) and not min_value(dtype) <= value <= max_value(dtype):
            raise self.source.error(node, f"{value} does not fit {dtype}")
        return value

    def _unary(self, node: ast.UnaryOp) -> PrimExpr:
        match node.op:
            case ast.Not():
                return Not(self.condition(node.operand))
            case ast.USub():
                value = self.expr(node.operand)
                if isinstance(value, IntImm) and value.dtype != "bool":
                    return IntImm(self._fits(node, -value.value, value.dtype), value.dtype)
                if isinstance(value, FloatImm):
                    return FloatImm(-value.value, value.dtype)
                if self._numeric(node, value) == "bool":
                    raise self.source.error(node, "no arithmetic - on bool; cast it")
                return Binary("*", value, const(-1, value.dtype))
            case ast.UAdd():
                return self.expr(node.operand)
            case _:
                value = self.expr(node.operand)
                return Intrinsic("bitwise_not", (value,), self._numeric(node, value))

    def _numeric(self, node: ast.AST, e: PrimExpr) -> str:
        if not is_dtype(e.dtype):
            raise self.source.error(node, f"no arithmetic with a value of dtype {e.dtype}")
        return e.dtype

    def _compare(
        self, node: ast.expr, left: ast.expr, ops: list[ast.cmpop], rights: list[ast.expr]
    ) -> PrimExpr:
        result: PrimExpr | None = None
        for op, right in zip(ops, rights, strict=True):
            if type(op) not in _COMPARE:
                raise self.source.error(node, "this comparison is not part of TensorIR")
            part = self.binary(node, _COMPARE[type(op)], left, right)
            result = part if result is None else Binary("and", result, part)
            left = right
        assert result is not None
        return result

    def binary(self, node: ast.expr, op: BinaryOp, left: ast.expr, right: ast.expr) -> PrimExpr:
        """Return `left op right` with both sides of one dtype.

        Raises:
            ParseError: the dtypes do not go together.
        """
        if op in LOGICAL:
            return Binary(op, self.condition(left), self.condition(right))
        a, b = self.matched(node, self.expr(left), self.expr(right))
        if op not in COMPARISONS and a.dtype == "bool" and op not in ("&", "|", "^"):
            raise self.source.error(node, f"no arithmetic {op} on bool; cast one side")
        if op in (*_SHIFTS, "&", "|", "^") and is_float(a.dtype):
            raise self.source.error(node, f"{op} needs integers, these are {a.dtype}")
        if op == "/" and is_int(a.dtype) and isinstance(node, ast.BinOp):
            raise self.source.error(
                node, "an integer division is `//` (floor) or T.Div (truncating)"
            )
        return Binary(op, a, b)

    def matched(self, node: ast.AST, a: PrimExpr, b: PrimExpr) -> tuple[PrimExpr, PrimExpr]:
        """Return both sides with one dtype: literals take the other's, integers widen.

        Raises:
            ParseError: a side is no number.
        """
        x, y = self._numeric(node, a), self._numeric(node, b)
        if x == y:
            return a, b
        if is_float(x) != is_float(y):
            to = x if is_float(x) else y
        elif isinstance(b, (IntImm, FloatImm)) != isinstance(a, (IntImm, FloatImm)):
            to = x if isinstance(b, (IntImm, FloatImm)) else y
        else:
            to = x if (bits(x), is_int(x), x) >= (bits(y), is_int(y), y) else y
        return self.converted(node, a, to), self.converted(node, b, to)

    def converted(self, node: ast.AST, e: PrimExpr, dtype: str) -> PrimExpr:
        """Return `e` as `dtype`: a literal rewritten, anything else cast.

        Raises:
            ParseError: a literal does not fit.
        """
        self._numeric(node, e)
        if e.dtype == dtype:
            return e
        if isinstance(e, IntImm) and e.dtype != "bool" and dtype != "bool":
            return const(self._fits(node, e.value, dtype), dtype)
        if isinstance(e, FloatImm) and is_float(dtype):
            return FloatImm(e.value, dtype)
        return Cast(dtype, e)

    def buffer(self, node: ast.expr) -> Buffer:
        """Return the buffer named by `node`.

        Raises:
            ParseError: there is none.
        """
        bound = self.names.get(node.id) if isinstance(node, ast.Name) else None
        if not isinstance(bound, Buffer):
            raise self.source.error(node, f"{ast.unparse(node)} is not a buffer")
        return bound

    def about(self, node: ast.expr) -> PrimExpr | Buffer:
        """Return what an attribute is about: a buffer, or an expression.

        Raises:
            ParseError: it is neither.
        """
        return self.buffer(node) if self._is_buffer(node) else self.argument(node)

    def argument(self, node: ast.expr) -> PrimExpr:
        """Return an argument of a foreign call, where a Python integer is an int32 as in C.

        Raises:
            ParseError: it is no expression.
        """
        return self.narrow(node, self.expr(node))

    def narrow(self, node: ast.expr, read: PrimExpr) -> PrimExpr:
        """Return what was read of a Python integer as an int32 where it fits, else as it is."""
        match node:
            case ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
                pass
            case _:
                return read
        if not isinstance(read, IntImm) or read.dtype != "int64":
            return read
        is_narrow = min_value("int32") <= read.value <= max_value("int32")
        return IntImm(read.value, "int32") if is_narrow else read

    def _is_buffer(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and isinstance(self.names.get(node.id), Buffer)

    def address(self, buffer: Buffer, at: tuple[PrimExpr, ...]) -> Address:
        """Return the address of an element, of the first one without indices."""
        while buffer in self.views:
            view = self.views[buffer]
            first = tuple(IntImm(0, d.dtype) for d in buffer.shape)
            buffer, at = view.source, view.indices(at or first)
        return Address(buffer, at)

    def indices(self, node: ast.Subscript, buffer: Buffer) -> list[ast.expr]:
        """Return the index nodes of an access, as many as the buffer has dims.

        Raises:
            ParseError: the number differs.
        """
        items = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        if not buffer.shape and len(items) == 1 and callee(items[0]) == "":
            match items[0]:
                case ast.Constant(value=int()):
                    items = []  # TVM writes A[0] for an access of rank 0 too
                case _:
                    pass
        if len(items) != len(buffer.shape):
            raise self.source.error(
                node, f"{buffer.name} has {len(buffer.shape)} dims, indexed by {len(items)}"
            )
        return items

    def index(self, node: ast.expr) -> PrimExpr:
        """Return an integer expression.

        Raises:
            ParseError: it has another dtype.
        """
        e = self.expr(node)
        if not is_dtype(e.dtype) or not is_int(e.dtype):
            raise self.source.error(node, f"an index is an integer, this is {e.dtype}")
        return e

    def shape_of(self, node: ast.expr) -> tuple[PrimExpr, ...] | None:
        """Return the sizes that `A.shape` stands for, None for another expression."""
        match node:
            case ast.Attribute(value=ast.Name() as of, attr="shape"):
                return self.buffer(of).shape
            case _:
                return None

    def dtype_of(self, node: ast.expr) -> str:
        """Return the dtype that a string, or `A.dtype`, stands for.

        Raises:
            ParseError: it is neither.
        """
        match node:
            case ast.Attribute(value=ast.Name() as of, attr="dtype"):
                return self.buffer(of).dtype
            case _:
                return text_literal(self.source, node, "dtype")

    def _load(self, node: ast.Subscript) -> PrimExpr:
        shape = self.shape_of(node.value)
        if shape is not None:
            return shape[self._place(node, len(shape))]
        return BufferLoad(*self.access(node))

    def _place(self, node: ast.Subscript, count: int) -> int:
        match literal(self.source, node.slice, "the axis"):
            case int(axis) if -count <= axis < count:
                return axis
            case _:
                raise self.source.error(node, f"{ast.unparse(node.value)} has {count} sizes")

    def access(self, node: ast.Subscript) -> tuple[Buffer, tuple[PrimExpr, ...]]:
        """Return the buffer and the indices of an access, one of a view being one of its source.

        Raises:
            ParseError: there is no such buffer, or the indices do not fit.
        """
        buffer = self.buffer(node.value)
        at = tuple(map(self._index_or_slice, self.indices(node, buffer)))
        while buffer in self.views:
            view = self.views[buffer]
            buffer, at = view.source, view.indices(at)
        return buffer, at

    # --- vectors ----------------------------------------------------------------------------

    def lanes_of(self, node: ast.expr) -> int:
        """Return the number of lanes of an index, 0 for a scalar.

        Raises:
            ParseError: the number is no constant.
        """
        match node:
            case ast.Slice(lower=lower, upper=upper, step=None) if lower and upper:
                low, high = self.matched(node, self.index(lower), self.index(upper))
                count = difference(high, low)
            case ast.Call() if callee(node) in ("T.ramp", "T.Ramp"):
                bound = bind(self.source, node, "base stride lanes")
                count = self.index(required(self.source, node, bound, "lanes"))
            case _:
                return 0
        if not isinstance(count, IntImm):
            raise self.source.error(node, "a vector has a constant number of lanes")
        return count.value

    def _index_or_slice(self, node: ast.expr) -> PrimExpr:
        if not isinstance(node, ast.Slice):
            return self.index(node)
        if node.lower is None:
            raise self.source.error(node, "a slice of a vector has both ends")
        return self._laned(node, self.index(node.lower), IntImm(1), self.lanes_of(node))

    def _laned(
        self, node: ast.AST, base: PrimExpr, stride: PrimExpr, lanes: int | None
    ) -> PrimExpr:
        lane = self._lane(node, lanes)
        stride, lane = self.matched(node, stride, lane)
        base, moved = self.matched(node, base, binary("*", lane, stride))
        return binary("+", base, moved)

    def _lane(self, node: ast.AST, lanes: int | None) -> PrimExpr:
        if self.lane is None:
            raise self.source.error(
                node, "vectors stand in stores to T.ramp or a slice only; write a T.vectorized loop"
            )
        var, count = self.lane
        if lanes not in (None, count):
            raise self.source.error(node, f"a vector of {lanes} lanes beside one of {count}")
        return var

    def _ramp(self, node: ast.Call) -> PrimExpr:
        bound = bind(self.source, node, "base stride lanes")
        base, stride = (
            self.index(required(self.source, node, bound, k)) for k in ("base", "stride")
        )
        return self._laned(node, base, stride, self.lanes_of(node))

    def _broadcast(self, node: ast.Call) -> PrimExpr:
        bound = bind(self.source, node, "value lanes")
        lanes = self.index(required(self.source, node, bound, "lanes"))
        self._lane(node, lanes.value if isinstance(lanes, IntImm) else None)
        return self.expr(required(self.source, node, bound, "value"))

    # --- calls ------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> PrimExpr:
        name = dotted(node.func)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "astype":
            bound = bind(self.source, node, "dtype")
            dtype = self._dtype(required(self.source, node, bound, "dtype"))
            return Cast(dtype, self.expr(node.func.value))
        if name in ("min", "max"):
            name = f"T.{name}"
        if isinstance(node.func, ast.Attribute) and self._is_buffer(node.func.value):
            method = self.methods.get(node.func.attr)
            if method is not None:
                return method(node)
        if not name.startswith("T."):
            raise self.source.error(node, f"{ast.unparse(node.func)} is not a TensorIR function")
        short = OTHER_NAMES.get(name[2:], name[2:])
        reader = self.functions.get(short)
        if reader is not None:
            return reader(node)
        if is_dtype(short):
            return self._typed(node, short)
        if num_lanes(short):
            return self._broadcast_as(node, short)
        if short in BINARY_FUNCTIONS:
            bound = bind(self.source, node, "a b span")
            a, b = (required(self.source, node, bound, k) for k in "ab")
            return self.binary(node, BINARY_FUNCTIONS[short], a, b)
        if short in FUNCTIONS:
            return self._intrinsic(node, short)
        raise self.source.error(node.func, f"unknown TensorIR function {name}")

    def is_function(self, name: str) -> bool:
        """Say whether a call of `name` is an expression."""
        short = OTHER_NAMES.get(name[2:], name[2:])
        known = (*self.functions, *FUNCTIONS, *BINARY_FUNCTIONS)
        return name.startswith("T.") and (short in known or is_dtype(short))

    def _own_functions(self) -> dict[str, Callable[[ast.Call], PrimExpr]]:
        return {
            "Cast": self._cast, "cast": self._cast,
            "if_then_else": lambda n: self._select(n, lazy=True),
            "Select": lambda n: self._select(n, lazy=False),
            "Not": lambda n: Not(self.condition(self._only(n, "a"))),
            "min_value": lambda n: self._limit(n, min_value),
            "max_value": lambda n: self._limit(n, max_value),
            "infinity": lambda n: self._limit(n, lambda _: float("inf")),
            "inf": lambda n: self._limit(n, lambda _: float("inf")),
            "ceildiv": self._ceildiv,
            "ramp": self._ramp, "Ramp": self._ramp,
            "broadcast": self._broadcast, "Broadcast": self._broadcast,
            "Let": self._let, "reinterpret": self._reinterpret,
            "IntImm": self._literal, "FloatImm": self._literal, "BufferLoad": self._buffer_load,
            "undef": self._undefined,
        }  # fmt: skip

    def _let(self, node: ast.Call) -> PrimExpr:
        """Read `T.Let(body, where={x: value})`: the values stand in the place of the names."""
        bound = bind(self.source, node, "expr where")
        where = required(self.source, node, bound, "where")
        if not isinstance(where, ast.Dict):
            raise self.source.error(where, "T.Let takes where={name: value}")
        before = dict(self.names)
        for key, value in zip(where.keys, where.values, strict=True):
            if not isinstance(key, ast.Name):
                raise self.source.error(where, "T.Let takes where={name: value}")
            self.names[key.id] = self.expr(value)
        found = self.expr(required(self.source, node, bound, "expr"))
        self.names.clear()
        self.names.update(before)
        return found

    def _reinterpret(self, node: ast.Call) -> PrimExpr:
        bound = bind(self.source, node, "dtype value")
        dtype = self._dtype(required(self.source, node, bound, "dtype"))
        value = self.expr(required(self.source, node, bound, "value"))
        if bits(self._numeric(node, value)) != bits(dtype):
            raise self.source.error(node, f"{value.dtype} and {dtype} differ in width")
        return Intrinsic("reinterpret", (value,), dtype)

    def _undefined(self, node: ast.Call) -> PrimExpr:
        """Read `T.undef()`, any value: 0, which fits every dtype."""
        bind(self.source, node, "")
        return IntImm(0)

    def _only(self, node: ast.Call, name: str) -> ast.expr:
        return required(self.source, node, bind(self.source, node, name), name)

    def _broadcast_as(self, node: ast.Call, name: str) -> PrimExpr:
        """Read `T.float32x4(value)`: a vector of equal elements."""
        base = lanes_removed(name)
        self._lane(node, num_lanes(name))
        return self._typed(node, base)

    def _literal(self, node: ast.Call) -> PrimExpr:
        """Read `T.FloatImm(dtype, value)` or `T.IntImm(dtype, value)`."""
        bound = bind(self.source, node, "dtype value")
        dtype = self._dtype(required(self.source, node, bound, "dtype"))
        value = required(self.source, node, bound, "value")
        return self.converted(node, self.expr(value), dtype)

    def _buffer_load(self, node: ast.Call) -> PrimExpr:
        """Read `T.BufferLoad(A, [i, j])`."""
        bound = bind(self.source, node, "buffer indices")
        buffer, indices = (required(self.source, node, bound, k) for k in ("buffer", "indices"))
        return BufferLoad(*self.access(as_access(buffer, indices)))

    def _vector_load(self, node: ast.Call) -> PrimExpr:
        """Read `A.vload([i, j], dtype)`; with a vector's dtype, its lanes along the last axis."""
        assert isinstance(node.func, ast.Attribute)
        bound = bind(self.source, node, "begin dtype")
        begin = required(self.source, node, bound, "begin")
        buffer, at = self.access(as_access(node.func.value, begin))
        dtype = self.dtype_of(bound["dtype"]) if "dtype" in bound else buffer.dtype
        base = lanes_removed(dtype)
        if base != buffer.dtype:
            raise self.source.error(node, f"{buffer.name} holds {buffer.dtype}, not {dtype}")
        if base != dtype and at:
            last = self._laned(node, at[-1], IntImm(1), num_lanes(dtype))
            at = (*at[:-1], last)
        return BufferLoad(buffer, at)

    def _dtype(self, node: ast.expr) -> str:
        dtype = self.dtype_of(node)
        base = lanes_removed(dtype)
        if base != dtype:
            self._lane(node, num_lanes(dtype))
            return base
        if not is_dtype(dtype):
            raise self.source.error(node, f"unknown dtype {dtype!r}")
        return dtype

    def _typed(self, node: ast.Call, dtype: str) -> PrimExpr:
        argument = node.args[0] if len(node.args) == 1 else None
        operand = argument.operand if isinstance(argument, ast.UnaryOp) else argument
        if operand is not None and not isinstance(operand, ast.Constant):
            return self.converted(node, self.expr(node.args[0]), dtype)
        value = scalar_of(self.source, node, dtype)
        if is_float(dtype):
            return FloatImm(float(value), dtype)
        if dtype == "bool":
            return IntImm(int(bool(value)), dtype)
        return IntImm(self._fits(node, int(value), dtype), dtype)

    def _cast(self, node: ast.Call) -> PrimExpr:
        match node.args:
            case [] | [ast.Constant(value=str()) | ast.Attribute(attr="dtype"), *_]:
                bound = bind(self.source, node, "dtype value")
            case _:
                bound = bind(self.source, node, "value dtype")
        dtype = self._dtype(required(self.source, node, bound, "dtype"))
        value = self.expr(required(self.source, node, bound, "value"))
        self._numeric(node, value)
        return Cast(dtype, value)

    def _select(self, node: ast.Call, *, lazy: bool) -> PrimExpr:
        bound = bind(self.source, node, "condition true_value false_value")
        c, t, f = (
            required(self.source, node, bound, k)
            for k in ("condition", "true_value", "false_value")
        )
        a, b = self.matched(node, self.expr(t), self.expr(f))
        return Select(self.condition(c), a, b, lazy)

    def _limit(self, node: ast.Call, of: Callable[[str], int | float]) -> PrimExpr:
        dtype = self._dtype(self._only(node, "dtype"))
        return const(of(dtype), dtype)

    def _ceildiv(self, node: ast.Call) -> PrimExpr:
        bound = bind(self.source, node, "a b")
        a, b = (self.expr(required(self.source, node, bound, k)) for k in "ab")
        a, b = self.matched(node, a, b)
        return Binary("//", Binary("+", a, Binary("-", b, const(1, b.dtype))), b)

    def _intrinsic(self, node: ast.Call, name: str) -> PrimExpr:
        if node.keywords or not node.args:
            raise self.source.error(node, f"T.{name} takes its arguments by position")
        args = [self.expr(a) for a in node.args]
        if len(args) == 2 and name != "ldexp":
            args = list(self.matched(node, args[0], args[1]))
        for a in args:
            self._numeric(node, a)
        return Intrinsic(name, tuple(args), result_dtype(name, args))
