"""Equality of programs up to the names of variables, buffers and shape symbols; and a hash of it.

Both come from one walk that writes a program as a list of words, in which names are numbers. Names
of functions of a module, blocks' names and attributes count; spans and the types of global names do
not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._attrs import AttrMap, AttrValue
from eqsat.ir._expr import (
    Binding,
    Call,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    NullValue,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    StringImm,
    Tuple,
    TupleGetItem,
    Var,
    VarBinding,
)
from eqsat.ir._op import OpDef
from eqsat.ir._structural_tir import TirWords
from eqsat.ir._tir import PrimFunc
from eqsat.ir._types import (
    CallableType,
    DTensorType,
    ObjectType,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    UnknownShape,
)
from eqsat.shapes import Dim, Shape, SymDim, substitute, sym

Program = IRModule | Function | PrimFunc


def structural_equal(a: Program, b: Program) -> bool:
    """Say whether two programs differ only in names; constants are compared bit by bit."""
    return type(a) is type(b) and _words(a, True) == _words(b, True)


def structural_hash(program: Program, include_constants: bool = True) -> str:
    """Return a SHA-256 (hex) that equal programs share.

    Without `include_constants` only the dtypes and shapes of constants count.
    """
    return hashlib.sha256("\0".join(_words(program, include_constants)).encode()).hexdigest()


def _words(program: Program, include_constants: bool) -> list[str]:
    match program:
        case IRModule():
            return _module_words(program, include_constants)
        case Function():
            return _RelaxWords(include_constants).function(program)
        case PrimFunc():
            return TirWords().function(program)
        case _:
            assert_never(program)


def _module_words(module: IRModule, include_constants: bool) -> list[str]:
    words = ["module", attrs_text(module.attrs), str(sorted(module.global_infos.items()))]
    words += [f"{name}={f.name}" for name, f in sorted(module.extern_funcs.items())]
    for name in sorted(module.functions):
        words.append(f"def {name}")
        words += _words(module.functions[name], include_constants)
    return words


def attrs_text(attrs: Mapping[str, object]) -> str:
    """Return attributes as one word, in the order of their names."""
    return repr(sorted(attrs.items(), key=lambda item: item[0]))


def constant_word(value: NDArray[np.generic], include_bytes: bool) -> str:
    """Return what identifies a constant: dtype, shape and, if wanted, its bits."""
    head = f"const {value.dtype.name}{value.shape}"
    if not include_bytes:
        return head
    data = np.ascontiguousarray(value)
    if data.nbytes <= 64:
        return f"{head} {data.tobytes().hex()}"
    return f"{head} {hashlib.sha256(data.reshape(-1).view(np.uint8).data).hexdigest()}"


class _RelaxWords:
    def __init__(self, include_constants: bool) -> None:
        self._include_constants = include_constants
        self._words: list[str] = []
        self._vars: dict[Var, str] = {}
        self._symbols: dict[str, Dim] = {}
        self._types: dict[Type, str] = {}

    def function(self, function: Function) -> list[str]:
        self._function(function)
        return self._words

    def _function(self, function: Function) -> None:
        for p in function.params:
            self._number_bare_symbols(p.type)
        self._words.append(
            f"function {function.is_pure} {function.is_private} {self._attrs(function.attrs)}"
        )
        for p in function.params:
            self._words.append(f"{self._define(p)}: {self._type(p.type)}")
        self._words.append(f"-> {self._type(function.ret_type)}")
        self._sequence(function.body)

    def _define(self, var: Var) -> str:
        word = f"%{len(self._vars)}"
        self._vars[var] = word
        return word

    # --- dims and types ---------------------------------------------------------------------

    def _number_bare_symbols(self, ty: Type) -> None:
        """Number symbols first where they stand alone: there their order is the program's."""
        match ty:
            case TensorType(shape=tuple() as dims) | ShapeType(dims=tuple() as dims):
                for d in dims:
                    if isinstance(d, SymDim) and str(d) in d.symbols:
                        self._number(str(d))
            case TupleType(fields):
                for f in fields:
                    self._number_bare_symbols(f)
            case DTensorType(tensor):
                self._number_bare_symbols(tensor)
            case _:
                pass

    def _number(self, name: str) -> None:
        if name not in self._symbols:
            self._symbols[name] = sym(f"s{len(self._symbols)}")

    def _dim(self, d: Dim) -> str:
        if isinstance(d, int):
            return str(d)
        for name in sorted(d.symbols):
            self._number(name)
        return str(substitute(d, self._symbols))

    def _dims(self, shape: Shape | UnknownShape) -> str:
        if isinstance(shape, UnknownShape):
            return f"?{shape.ndim}"
        return f"[{' '.join(map(self._dim, shape))}]"

    def _type(self, ty: Type) -> str:
        found = self._types.get(ty)
        if found is None:
            found = self._types[ty] = self._new_type(ty)
        return found

    def _new_type(self, ty: Type) -> str:
        match ty:
            case TensorType(shape, dtype, vdevice):
                return f"T{self._dims(shape)} {dtype} {vdevice}"
            case DTensorType(tensor, mesh, placement):
                return f"D {self._type(tensor)} {mesh!r} {placement}"
            case ShapeType(dims):
                return f"S{self._dims(dims)}"
            case PrimType(dtype):
                return f"P {dtype}"
            case TupleType(fields):
                return f"({','.join(map(self._type, fields))})"
            case CallableType(params, result, is_pure, opaque, derive_func):
                inner = ",".join(map(self._type, params))
                return f"F({inner})->{self._type(result)} {is_pure} {opaque} {derive_func}"
            case ObjectType():
                return "O"
            case _:
                assert_never(ty)

    # --- expressions ------------------------------------------------------------------------

    def _sequence(self, body: SeqExpr) -> None:
        for block in body.blocks:
            self._words.append("dataflow" if block.is_dataflow else "block")
            for b in block.bindings:
                self._binding(b)
        self._words.append(f"return {self._expr(body.result)}")

    def _binding(self, b: Binding) -> None:
        match b:
            case VarBinding(var, If() as value):
                self._words.append(f"if {self._expr(value.condition)} {self._type(value.type)}")
                self._sequence(value.then_branch)
                self._words.append("else")
                self._sequence(value.else_branch)
                self._defined(var)
            case VarBinding(var, Function() as value):
                self._define(var)
                self._function(value)
            case VarBinding(var, value):
                self._words.append(self._expr(value))
                self._defined(var)
            case MatchCast(var, value, ty):
                word = self._expr(value)
                self._number_bare_symbols(ty)
                self._words.append(f"cast {word} {self._type(ty)}")
                self._defined(var)
            case _:
                assert_never(b)

    def _defined(self, var: Var) -> None:
        self._words.append(f"{self._define(var)}: {self._type(var.type)} {var.is_dataflow}")

    def _expr(self, e: Expr) -> str:  # noqa: C901 - one case per node
        match e:
            case Var():
                return self._vars.get(e) or f"free {e.name}"
            case Constant(value, distributed=distributed):
                word = constant_word(value, self._include_constants)
                return f"{word} {self._type(distributed)}" if distributed else word
            case ShapeExpr(dims):
                return f"shape{self._dims(dims)}"
            case PrimValue(value, dtype):
                return (
                    f"{dtype} {value!r}"
                    if isinstance(value, float)
                    else f"{dtype} {self._dim(value)}"
                )
            case StringImm(value):
                return f"str {value!r}"
            case DataTypeImm(value):
                return f"dtype {value}"
            case GlobalVar(name):
                return f"@{name}"
            case ExternFunc(name):
                return f"extern {name!r}"
            case Tuple(fields):
                return f"({', '.join(map(self._expr, fields))})"
            case TupleGetItem(value, index):
                return f"{self._expr(value)}[{index}]"
            case Call():
                return self._call(e)
            case NullValue():
                return "null"
            case If() | SeqExpr() | Function():
                raise ValueError(f"a {type(e).__name__} can only be the value of a binding")
            case _:
                assert_never(e)

    def _call(self, e: Call) -> str:
        callee = e.op.name if isinstance(e.op, OpDef) else self._expr(e.op)
        args = ", ".join(map(self._expr, e.args))
        return f"{callee}({args}) {self._attrs(e.attrs)} {self._type(e.type)}"

    def _attrs(self, attrs: Mapping[str, AttrValue]) -> str:
        if not attrs:
            return ""
        return repr([(k, self._attr(attrs[k])) for k in sorted(attrs)])

    def _attr(self, value: AttrValue) -> object:
        match value:
            case SymDim():
                return f"dim {self._dim(value)}"
            case tuple():
                return tuple(map(self._attr, value))
            case AttrMap(items, kind):
                return kind, tuple((k, self._attr(v)) for k, v in items)
            case _:
                return value
