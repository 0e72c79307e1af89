"""Reading Relax expressions, normalised so that calls have names."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace

from eqsat.ir._attrs import AttrValue
from eqsat.ir._call import Arg, make_declared_call
from eqsat.ir._call_ops import CALL_OPS
from eqsat.ir._expr import (
    Call,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    GlobalVar,
    NullValue,
    PrimValue,
    ShapeExpr,
    Span,
    StringImm,
    Tuple,
    TupleGetItem,
    Var,
)
from eqsat.ir._op import OpDef, OperandKind
from eqsat.ir._subtyping import result_of_call
from eqsat.ir._types import CallableType, PrimType, TupleType, Type, is_distributed
from eqsat.ir.ops import OperatorError, op
from eqsat.ir.script._context import MODULE, Context
from eqsat.ir.script._metadata import CONSTANT_KEYS
from eqsat.ir.script._parse_calls import CallReader
from eqsat.ir.script._parse_types import TypeReader
from eqsat.ir.script._parse_values import attribute, constant, distributed_constant, scalar_of
from eqsat.ir.script._syntax import (
    bind,
    callee,
    dotted,
    int_literal,
    is_absent,
    is_none,
    keywords,
    required,
    sequence,
    text_literal,
)
from eqsat.shapes import Dim, EqsatError, SymDim, is_dtype

_BINARY: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.FloorDiv: "floor_divide", ast.Mod: "mod", ast.Pow: "power",
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "less", ast.LtE: "less_equal", ast.Gt: "greater", ast.GtE: "greater_equal",
}  # fmt: skip
_INSPECTED = {
    "ndim": "ndim", "shape": "shape_i", "strides": "stride_i", "dtype.type_code": "dtype_code",
    "dtype.bits": "dtype_bits", "dtype.lanes": "dtype_lanes", "byte_offset": "byte_offset",
    "elem_offset": "elem_offset",
}  # fmt: skip
"""Attributes of tensors, and the operators that read them; the parser of TVM 0.27 takes neither."""
_SEPARATORS = ("axis_separators", "input_axis_separators")
"""What `R.layout_transform` took besides, up to 0.22."""


class ExprReader:
    """Reads expressions in one scope. `bind` names a value and returns its variable."""

    def __init__(
        self, context: Context, names: dict[str, object], bind_value: Callable[[Expr], Var]
    ) -> None:
        self.context = context
        self.source = context.source
        self.names = names
        self.hidden: set[str] = set()
        self.annotations: dict[ast.AST, ast.expr] = {}  # of variables, by the value bound to them
        self.types = TypeReader(context.source, names, context.global_infos)
        self._bind_value = bind_value
        self._calls = CallReader(self.types, self.atom, self.shape)

    def atom(self, node: ast.expr) -> Expr:
        """Return an expression that may stand as an argument; calls are bound to a name."""
        value = self.value(node)
        return self._bind_value(value) if isinstance(value, (Call, TupleGetItem)) else value

    def value(self, node: ast.expr) -> Expr:
        """Return the value of a binding.

        Raises:
            ParseError: it is no expression.
            TypeCheckError, ShapeError: it has no type.
        """
        span = self.source.span(node)
        match node:
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.Tuple(elts=items) | ast.List(elts=items):
                return Tuple(tuple(map(self.atom, items)), span)
            case ast.Constant():
                return self._literal(node, span)
            case ast.Attribute():
                return self._attribute(node, span)
            case ast.Subscript():
                return self._subscript(node, span)
            case ast.Call():
                return self._call(node, span)
            case ast.BinOp() | ast.UnaryOp() | ast.Compare() | ast.BoolOp() if self._is_dim(node):
                return self._of_sizes(node, span)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
                return self._operator(node, _BINARY[type(operator)], [left, right])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                if isinstance(operand, ast.Constant) and isinstance(operand.value, float):
                    return PrimValue(-operand.value, "float64", span)
                return self._operator(node, "negative", [operand])
            case ast.Compare(left=left, ops=[compare], comparators=[right]) if (
                type(compare) in _COMPARE
            ):
                return self._operator(node, _COMPARE[type(compare)], [left, right])
            case _:
                raise self.source.error(node, f"{ast.unparse(node)} is not a Relax expression")

    def _operator(self, node: ast.expr, name: str, operands: list[ast.expr]) -> Expr:
        return self.make(node, self.operator(node, name), [self.atom(o) for o in operands], {})

    def operator(self, node: ast.AST, name: str) -> OpDef:
        """Return the operator `name`.

        Raises:
            ParseError: there is none.
        """
        try:
            return op(name)
        except OperatorError as error:
            raise self.source.error(node, str(error)) from None

    def make(
        self, node: ast.AST, operator: OpDef, args: Sequence[Arg], attrs: dict[str, AttrValue]
    ) -> Call:
        """Return the typed call; errors name the place."""
        try:
            call = make_declared_call(operator, args, attrs, self._declared(node, args))
        except EqsatError as error:
            raise self.source.locate(error, node) from None
        except (TypeError, ValueError, ArithmeticError, LookupError, AssertionError) as error:
            raise self.source.error(
                node, f"{operator.name} rejects these arguments: {error}"
            ) from error
        call.span = self.source.span(node)
        return call

    def _declared(self, node: ast.AST, args: Sequence[Arg]) -> Type | None:
        """Return the annotation of the variable that a call is bound to, where it may matter."""
        annotation = self.annotations.get(node)
        is_on_mesh = any(isinstance(a, Expr) and is_distributed(a.type) for a in args)
        return self.types.type(annotation) if annotation is not None and is_on_mesh else None

    def _name(self, node: ast.expr, name: str) -> Expr:
        bound = self.names.get(name)
        if isinstance(bound, Var):
            return bound
        if isinstance(bound, Dim):
            return PrimValue(bound, "int64", self.source.span(node))
        if bound is MODULE or name == self.context.module_name:
            raise self.source.error(node, f"{name} is the module; write {name}.<function>")
        if name in self.hidden:
            raise self.source.error(
                node, f"{name} is only visible in its dataflow block; add it to R.output(...)"
            )
        if name in self.context.function_names:
            raise self.source.error(node, f"{name} is a function of the module; write cls.{name}")
        close = difflib.get_close_matches(name, list(self.names), 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise self.source.error(node, f"{name} is not defined{hint}")

    def _literal(self, node: ast.Constant, span: Span) -> Expr:
        match node.value:
            case bool() as value:
                return PrimValue(int(value), "bool", span)
            case int() as value:
                return PrimValue(value, "int64", span)
            case float() as value:
                return PrimValue(value, "float64", span)
            case str() as value:
                return StringImm(value, span)
            case None:
                return NullValue(span)
            case _:
                raise self.source.error(node, f"{node.value!r} is not a Relax value")

    def _is_dim(self, node: ast.expr) -> bool:
        """Say whether an arithmetic expression is over symbols and integers only."""
        for n in ast.walk(node):
            match n:
                case ast.Constant(value=value) if type(value) is not int:
                    return False
                case ast.Name(id=name) if name not in ("T", "tir", "tirx", "min", "max"):
                    bound = self.names.get(name)
                    is_prim = isinstance(bound, Var) and bound.type == PrimType("int64")
                    if not (isinstance(bound, Dim) or is_prim):
                        return False
                case ast.Subscript() | ast.Tuple() | ast.List():
                    return False
                case _:
                    pass
        return True

    def _of_sizes(self, node: ast.expr, span: Span) -> PrimValue:
        """Return the size, or the truth value, that an expression over sizes spells."""
        if self.types.is_condition(node):
            return PrimValue(self.types.condition(node), "bool", span)
        return PrimValue(self.types.dim(node), "int64", span)

    def _is_module(self, node: ast.expr) -> bool:
        if not isinstance(node, ast.Name):
            return False
        return self.names.get(node.id) is MODULE or node.id == self.context.module_name

    def _attribute(self, node: ast.Attribute, span: Span) -> Expr:
        if self._is_module(node.value):
            return self._global(node, span)
        if (inspected := self._inspected(node)) is not None:
            return inspected
        raise self.source.error(node, f"{ast.unparse(node)} is not a Relax expression")

    def _inspected(self, node: ast.Attribute | ast.Subscript) -> Expr | None:
        """Return what `x.ndim`, `x.dtype.bits` or `x.shape[0]` spells, None for anything else."""
        spelled, attrs = node, dict[str, AttrValue]()
        if isinstance(node, ast.Subscript):
            spelled = node.value
        variable, _, field = dotted(spelled).partition(".")
        tensor, operator = self.names.get(variable), _INSPECTED.get(field)
        if not isinstance(tensor, Var) or operator is None:
            return None
        if isinstance(node, ast.Subscript):
            attrs["axis"] = self.types.dim(node.slice)
        return self.make(node, self.operator(node, f"inspect.tensor_{operator}"), [tensor], attrs)

    def _global(self, node: ast.Attribute, span: Span) -> GlobalVar:
        signature = self.context.signature(node.attr, node)
        if signature is None:
            known = ", ".join(self.context.function_names) or "none"
            raise self.source.error(node, f"the module has no function {node.attr}; it has {known}")
        return GlobalVar(node.attr, signature, span)

    def _subscript(self, node: ast.Subscript, span: Span) -> Expr:
        base = node.value
        if isinstance(base, ast.Subscript) and dotted(base.value) == "metadata":
            return self._metadata(node, base, span)
        if (inspected := self._inspected(node)) is not None:
            return inspected
        value = self.atom(base)
        index = int_literal(self.source, node.slice, "a tuple index")
        ty = value.type
        if not isinstance(ty, TupleType):
            raise self.source.error(node, f"only a tuple has fields; this is {ty}")
        size = len(ty.fields)
        if not 0 <= index < size:
            raise self.source.error(node.slice, f"index {index} of a tuple of {size} fields")
        if isinstance(value, Tuple):
            return value.fields[index]
        return TupleGetItem(value, index, span)

    def _metadata(self, node: ast.Subscript, base: ast.Subscript, span: Span) -> Expr:
        key = text_literal(self.source, base.slice, "the metadata key")
        if key not in CONSTANT_KEYS:
            raise self.source.error(base.slice, f"metadata of kind {key!r} is not supported")
        index = int_literal(self.source, node.slice, "the metadata index")
        if not 0 <= index < len(self.context.constants):
            raise self.source.error(
                node,
                f"constant {index} is missing: the metadata holds {len(self.context.constants)}; "
                "print the module with show_meta=True",
            )
        return replace(self.context.constants[index], span=span)

    # --- calls ------------------------------------------------------------------------------

    def _call(self, node: ast.Call, span: Span) -> Expr:
        name = dotted(node.func)
        if name.startswith("T.") or name in ("min", "max"):
            return self._prim_call(node, name[2:], span)
        if name.startswith("R."):
            return self._relax_call(node, name[2:], span)
        if isinstance(node.func, ast.Attribute) and not self._is_module(node.func.value):
            if node.func.attr == "astype":
                bound = bind(self.source, node, "dtype")
                dtype = self.types.dtype(required(self.source, node, bound, "dtype"))
                source = self.atom(node.func.value)
                return self.make(node, self.operator(node, "astype"), [source], {"dtype": dtype})
            raise self.source.error(node.func, f"{ast.unparse(node.func)} is not a Relax function")
        return self._function_call(node, span)

    def _function_call(self, node: ast.Call, span: Span) -> Expr:
        function = self.atom(node.func)
        if keywords(self.source, node):
            raise self.source.error(node, "a function's arguments are given by position")
        args = tuple(map(self.atom, node.args))
        if not isinstance(function, (Var, GlobalVar, ExternFunc)):
            raise self.source.error(node.func, f"{ast.unparse(node.func)} is not a function")
        ty = function.type
        if not isinstance(ty, CallableType):
            raise self.source.error(node.func, f"{ast.unparse(node.func)} is no function but {ty}")
        result = ty.result if ty.opaque else self._result(node, ty, args)
        return Call(function, args, {}, result, span=span)

    def _result(self, node: ast.Call, ty: CallableType, args: Sequence[Expr]) -> Type:
        what = ast.unparse(node.func)
        try:
            return result_of_call(ty.params, ty.result, [a.type for a in args], what)
        except EqsatError as error:
            raise self.source.locate(error, node) from None

    def _prim_call(self, node: ast.Call, name: str, span: Span) -> Expr:
        if self._is_dim(node) and not is_dtype(name):
            return self._of_sizes(node, span)
        if not is_dtype(name):
            raise self.source.error(node, f"{ast.unparse(node.func)} is not a Relax function")
        if name == "int64" and self._is_dim(node):
            return PrimValue(self.types.dim(node), name, span)
        return PrimValue(scalar_of(self.source, node, name), name, span)

    def _relax_call(  # noqa: C901 - one case per name
        self, node: ast.Call, name: str, span: Span
    ) -> Expr:
        match name:
            case "const":
                return Constant(constant(self.source, self.types, node), span)
            case "dist.const":
                return distributed_constant(self.source, self.types, node, span)
            case "tuple":
                return Tuple(tuple(map(self.atom, node.args)), span)
            case "TupleGetItem":
                bound = bind(self.source, node, "tuple_value index")
                value = required(self.source, node, bound, "tuple_value")
                index = required(self.source, node, bound, "index")
                field = ast.copy_location(ast.Subscript(value, index, ast.Load()), node)
                return self._subscript(field, span)
            case "shape" | "ShapeExpr":
                dims = self._one(node, "values")
                items = sequence(dims)
                if items is None:
                    raise self.source.error(dims, "R.shape takes a list of dims")
                return ShapeExpr(tuple(map(self.types.dim, items)), span)
            case "str":
                return StringImm(text_literal(self.source, self._one(node, "value"), "R.str"), span)
            case "dtype":
                return DataTypeImm(self.types.dtype(self._one(node, "value")), span)
            case "null_value":
                bind(self.source, node, "")
                return NullValue(span)
            case "prim_value":
                return self._prim_value(self._one(node, "value"), span)
            case "ExternFunc" | "call_packed" | "dist.call_tir":
                return self._calls.call(node, name, span)
            case _ if name in CALL_OPS:
                return self._calls.call(node, name, span)
            case _:
                return self._operator_call(node, self.operator(node.func, name))

    def _one(self, node: ast.Call, name: str) -> ast.expr:
        return required(self.source, node, bind(self.source, node, name), name)

    def _prim_value(self, node: ast.expr, span: Span) -> Expr:
        if not isinstance(node, ast.Constant) and self._is_dim(node):
            return self._of_sizes(node, span)
        value = self.value(node)
        if not isinstance(value, PrimValue):
            raise self.source.error(node, f"{ast.unparse(node)} is not a scalar")
        return value

    def _operator_call(self, node: ast.Call, operator: OpDef) -> Call:
        signature = [*(o.name for o in operator.operands), *(a.name for a in operator.attrs)]
        if operator.name == "layout_transform":
            signature += _SEPARATORS
        bound = bind(self.source, node, " ".join(signature))
        for name in _SEPARATORS:
            self._check_separators(bound.get(name))
        args: list[Arg] = []
        for operand in operator.operands:
            given = bound.get(operand.name)
            args.append(
                None
                if given is None or is_absent(given, operand.optional)
                else self._operand(given, operand.kind)
            )
        attrs: dict[str, AttrValue] = {
            a.name: attribute(self.types, self._immediate(bound[a.name]), a, operator.name)
            for a in operator.attrs
            if a.name in bound
        }
        return self.make(node, operator, args, attrs)

    def _immediate(self, node: ast.expr) -> ast.expr:
        """Return the literal that a name was bound to, `d = R.dtype("int32")`; else `node`."""
        bound = self.names.get(node.id) if isinstance(node, ast.Name) else None
        if not isinstance(bound, Var) or bound not in self.context.immediates:
            return node
        return ast.copy_location(ast.Constant(self.context.immediates[bound]), node)

    def _check_separators(self, node: ast.expr | None) -> None:
        """Check axes at which a buffer is flattened, which no value depends on."""
        if node is None or is_none(node):
            return
        items = sequence(node)
        for item in [node] if items is None else items:
            int_literal(self.source, item, "an axis separator")

    def _operand(self, node: ast.expr, kind: OperandKind) -> Expr:
        return self.shape(node) if kind is OperandKind.SHAPE else self.atom(node)

    def shape(self, node: ast.expr) -> Expr:
        """Return a value where a shape is wanted: a display of dims, one dim, or any expression."""
        items = sequence(node)
        if items is not None:
            return ShapeExpr(tuple(map(self.types.dim, items)), self.source.span(node))
        value = self.atom(node)
        match value:
            case PrimValue(int() | SymDim() as dim) if callee(node) == "":
                return ShapeExpr((dim,), value.span)
            case _:
                return value
