"""Reading the calls whose callee is an operand, and those that the host runs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence

from eqsat.ir._attrs import AttrValue
from eqsat.ir._call_ops import CALL_OPS, CLOSURE_CALLS, DPS_CALLS, UNIT, is_condition
from eqsat.ir._expr import (
    Call,
    Expr,
    ExternFunc,
    GlobalVar,
    PrimValue,
    ShapeExpr,
    Span,
    StringImm,
    Tuple,
    Var,
)
from eqsat.ir._op import OpDef, Required
from eqsat.ir._types import (
    PACKED_FUNC,
    CallableType,
    DTensorType,
    ObjectType,
    TupleType,
    Type,
)
from eqsat.ir.script._parse_types import TypeReader
from eqsat.ir.script._parse_values import attribute
from eqsat.ir.script._syntax import (
    bind,
    is_none,
    keywords,
    literal,
    required,
    sequence,
    text_literal,
)

_RENAMED = {"out_sinfo": "out_ty", "sinfo_args": "ty_args", "gvar": "func", "func_name": "func"}


def extern_func(types: TypeReader, node: ast.Call, span: Span) -> ExternFunc:
    """Return the external function of `R.ExternFunc(name, type)`.

    Raises:
        ParseError: an argument is missing, unknown or no type.
    """
    bound = bind(types.source, node, "name ty struct_info")
    name = text_literal(types.source, required(types.source, node, bound, "name"), "the name")
    ty = bound.get("ty", bound.get("struct_info"))
    return ExternFunc(name, PACKED_FUNC if ty is None else types.type(ty), span)


class CallReader:
    """Reads these calls; `atom` and `shape` read operands."""

    def __init__(
        self,
        types: TypeReader,
        atom: Callable[[ast.expr], Expr],
        shape: Callable[[ast.expr], Expr],
    ) -> None:
        self._source = types.source
        self._types = types
        self._atom = atom
        self._shape = shape

    def call(self, node: ast.Call, name: str, span: Span) -> Expr:
        """Return the call `R.<name>(...)`.

        Raises:
            ParseError: an argument is missing, of the wrong kind, or unknown.
        """
        match name:
            case "ExternFunc":
                return self._extern(node, span)
            case "call_packed":
                return self._packed(node, None, span)
            case "print":
                return self._print(node, span)
            case "assert_op":
                return self._assert(node, span)
            case "make_closure":
                return self._make_closure(node, span)
            case "render_object":
                value = self._atom(self._one(node, "val"))
                return Call(CALL_OPS[name], (value,), {}, ObjectType(), span=span)
            case "call_py_func" if self._has_types(node):
                return self._printed_py_func(node, span)
            case "dist.call_tir":
                return self._dps(node, CALL_OPS["call_tir"], span, is_distributed=True)
            case "dist.call_tir_local_view":
                return self._dps(node, CALL_OPS[name], span, is_distributed=True)
            case _ if name in DPS_CALLS:
                return self._dps(node, CALL_OPS[name], span)
            case _:
                return self._packed(node, CALL_OPS[name], span)

    def _one(self, node: ast.Call, name: str) -> ast.expr:
        return required(self._source, node, bind(self._source, node, name), name)

    def _keywords(self, node: ast.Call) -> dict[str, ast.expr]:
        found: dict[str, ast.expr] = {}
        for name, value in keywords(self._source, node).items():
            canonical = _RENAMED.get(name, name)
            if canonical in found:
                raise self._source.error(value, f"{name} is given twice, once as {canonical}")
            found[canonical] = value
        return found

    # --- functions --------------------------------------------------------------------------

    def _extern(self, node: ast.Call, span: Span) -> ExternFunc:
        return extern_func(self._types, node, span)

    def _callee(self, node: ast.expr) -> Expr:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return ExternFunc(node.value, span=self._source.span(node))
        found = self._atom(node)
        return ExternFunc(found.value, span=found.span) if isinstance(found, StringImm) else found

    # --- calls with a declared output -------------------------------------------------------

    def _dps(
        self, node: ast.Call, operator: OpDef, span: Span, *, is_distributed: bool = False
    ) -> Expr:
        given = self._keywords(node)
        if "ty_args" in given:  # what it became after 0.27
            given.setdefault("out_ty", given.pop("ty_args"))
        extra = [a.name for a in operator.attrs]
        names = ["func", "args", *extra, "out_ty"]
        if operator.name == "call_tir_with_grad":
            names = ["func", "args", "out_ty", *extra]
        bound = {**dict(zip(names, node.args, strict=False)), **given}
        for name in set(bound) - {*names, "tir_vars"}:
            raise self._source.error(node, f"R.{operator.name} has no argument {name}")
        callee_node, out_node = (bound.get(n) for n in ("func", "out_ty"))
        if callee_node is None or out_node is None or len(node.args) > len(names):
            raise self._source.error(
                node, f"R.{operator.name} takes (function, arguments, out_ty=...)"
            )
        function = self._callee(callee_node)
        wanted = GlobalVar if "call_tir" in operator.name else ExternFunc
        if not isinstance(function, (wanted, Var)):
            raise self._source.error(
                callee_node, f"R.{operator.name} cannot call {ast.unparse(callee_node)}"
            )
        args = self._spread(bound.get("args"))
        if "tir_vars" in bound:
            args = (*args, *self._tir_vars(bound["tir_vars"], span))
        attrs = self._attributes(node, operator, bound)
        out = self._out_type(out_node)
        self._check_out_type(out_node, out, is_distributed)
        return Call(operator, (function, *args), attrs, out, span=span)

    def _spread(self, node: ast.expr | None) -> tuple[Expr, ...]:
        """Return the arguments of a display; anything but a tuple is one argument."""
        if node is None:
            return ()
        items = sequence(node)
        if items is not None:
            return tuple(map(self._atom, items))
        value = self._atom(node)
        return value.fields if isinstance(value, Tuple) else (value,)

    def _tir_vars(self, node: ast.expr, span: Span) -> tuple[Expr, ...]:
        shape = self._shape(node)
        if not isinstance(shape, ShapeExpr):
            raise self._source.error(node, "tir_vars is a shape, R.shape([n, ...])")
        return tuple(PrimValue(d, span=span) for d in shape.dims)

    def _out_type(self, node: ast.expr) -> Type:
        items = sequence(node)
        if items is None:
            return self._types.type(node)
        types = tuple(map(self._types.type, items))
        return types[0] if len(types) == 1 else TupleType(types)

    def _check_out_type(self, node: ast.expr, out: Type, is_distributed: bool) -> None:
        fields = out.fields if isinstance(out, TupleType) else (out,)
        if is_distributed and not all(isinstance(f, DTensorType) for f in fields):
            raise self._source.error(node, "R.dist.call_tir gives R.DTensor; R.call_tir R.Tensor")
        if not is_distributed and any(isinstance(f, DTensorType) for f in fields):
            raise self._source.error(node, "only R.dist.call_tir gives R.DTensor")

    def _attributes(
        self, node: ast.Call, operator: OpDef, bound: Mapping[str, ast.expr]
    ) -> dict[str, AttrValue]:
        attrs: dict[str, AttrValue] = {}
        for a in operator.attrs:
            if a.name not in bound and not isinstance(a.default, Required):
                if a.default is not None:
                    attrs[a.name] = a.default
                continue
            value_node = required(self._source, node, dict(bound), a.name)
            value = attribute(self._types, value_node, a, operator.name)
            # One index may stand bare.
            attrs[a.name] = (value,) if a.kind == "ints" and isinstance(value, int) else value
        return attrs

    def _has_types(self, node: ast.Call) -> bool:
        return bool({"ty_args", "sinfo_args"} & {k.arg for k in node.keywords})

    def _printed_py_func(self, node: ast.Call, span: Span) -> Expr:
        """Read `R.call_py_func(R.str("f"), ((x,),), ty_args=(T,))`, which is how TVM prints it."""
        given = self._keywords(node)
        items = sequence(node.args[1]) if len(node.args) == 2 else None
        if set(given) != {"ty_args"} or items is None or len(items) != 1:
            raise self._source.error(node, "R.call_py_func takes (name, arguments, out_ty=...)")
        function = self._callee(node.args[0])
        if not isinstance(function, ExternFunc):
            raise self._source.error(node.args[0], "R.call_py_func takes a function's name")
        args = self._spread(items[0])
        out = self._one_type(self._type_arguments(given["ty_args"]))
        return Call(CALL_OPS["call_py_func"], (function, *args), {}, out, span=span)

    # --- calls with declared results --------------------------------------------------------

    def _packed(self, node: ast.Call, operator: OpDef | None, span: Span) -> Expr:
        given = self._keywords(node)
        types_node = given.pop("ty_args", None)
        what = operator.name if operator else "call_packed"
        positional = list(node.args)
        if what in CLOSURE_CALLS:
            positional, types_node = self._closure_arguments(node, given, types_node)
        elif not positional and "func" in given:
            positional = [given.pop("func")]
        if operator is None:
            given.pop("attrs_type_key", None)  # TVM's class of the other ones
            attrs = {n: literal(self._source, a, f"the attribute {n}") for n, a in given.items()}
        else:
            for name in set(given) - {a.name for a in operator.attrs}:
                raise self._source.error(given[name], f"R.{what} has no argument {name}")
            attrs = self._attributes(node, operator, given)
        if not positional:
            raise self._source.error(node, f"R.{what} needs a function")
        function = self._callee(positional[0])
        self._check_callee(positional[0], what, function)
        rest = positional[1:]
        if what == "call_builtin_with_ctx" and len(rest) == 2 and types_node is None:
            types_node = rest.pop()
        spread = what in (*CLOSURE_CALLS, "call_builtin_with_ctx")
        args = self._spread(rest[0]) if spread and len(rest) == 1 else None
        args = tuple(map(self._atom, rest)) if args is None else args
        types = self._type_arguments(types_node)
        result = self._one_type(types)
        if operator is None:
            assert isinstance(function, (ExternFunc, Var)), "checked above"
            return Call(function, args, attrs, result, types, span)
        return Call(operator, (function, *args), attrs, result, types, span)

    def _closure_arguments(
        self, node: ast.Call, given: dict[str, ast.expr], types_node: ast.expr | None
    ) -> tuple[list[ast.expr], ast.expr | None]:
        names = ("closure", "args", "ty_args")
        if len(node.args) > len(names):
            raise self._source.error(node.args[3], "a closure takes (closure, arguments, ty_args)")
        bound = dict(zip(names, node.args, strict=False))
        for name in ("closure", "args"):
            if name in given:
                bound[name] = given.pop(name)
        return [bound[n] for n in names[:2] if n in bound], bound.get("ty_args", types_node)

    def _check_callee(self, node: ast.expr, what: str, function: Expr) -> None:
        match what, function:
            case "call_packed", ExternFunc() | Var(type=CallableType()):
                return
            case "call_packed", _:
                reason = "R.call_packed takes a function's registered name"
            case "invoke_closure" | "invoke_pure_closure", Var(type=CallableType() | ObjectType()):
                return
            case "invoke_closure" | "invoke_pure_closure", _:
                reason = f"R.{what} takes a closure, got {ast.unparse(node)}"
            case _, ExternFunc() | GlobalVar() | Var(type=CallableType() | ObjectType()):
                return
            case _:
                reason = f"R.{what} cannot call {ast.unparse(node)}"
        raise self._source.error(node, reason)

    def _type_arguments(self, node: ast.expr | None) -> tuple[Type, ...]:
        if node is None or is_none(node):
            return ()
        items = sequence(node)
        return tuple(map(self._types.type, [node] if items is None else items))

    def _one_type(self, types: Sequence[Type]) -> Type:
        if not types:
            return ObjectType()
        return types[0] if len(types) == 1 else TupleType(tuple(types))

    # --- what the host runs -----------------------------------------------------------------

    def _make_closure(self, node: ast.Call, span: Span) -> Expr:
        bound = bind(self._source, node, "func args")
        function_node = required(self._source, node, bound, "func")
        function = self._atom(function_node)
        if not isinstance(function.type, CallableType):
            raise self._source.error(
                function_node, f"a closure is made of a function, got {ast.unparse(function_node)}"
            )
        args = self._spread(required(self._source, node, bound, "args"))
        operator = CALL_OPS["make_closure"]
        return Call(operator, (function, *args), {}, ObjectType(), span=span)

    def _format(self, node: ast.expr | None) -> dict[str, AttrValue]:
        return {"format": "" if node is None else text_literal(self._source, node, "format")}

    def _print(self, node: ast.Call, span: Span) -> Expr:
        given = keywords(self._source, node)
        attrs = self._format(given.pop("format", None))
        for name, value in given.items():
            raise self._source.error(value, f"R.print has no argument {name}; it has format")
        values = tuple(map(self._atom, node.args))
        return Call(CALL_OPS["print"], values, attrs, UNIT, span=span)

    def _assert(self, node: ast.Call, span: Span) -> Expr:
        given = keywords(self._source, node)
        attrs = self._format(given.pop("format", None))
        positional = list(node.args)
        if "condition" in given:
            positional.insert(0, given.pop("condition"))
        if "format_args" in given:
            positional.append(given.pop("format_args"))
        for name, value in given.items():
            raise self._source.error(value, f"R.assert_op has no argument {name}")
        if not positional:
            raise self._source.error(node, "R.assert_op needs a condition")
        # `assert_op(c, x, "text {}")` has its format last.
        last = positional[-1]
        if len(positional) > 2 and isinstance(last, ast.Constant) and isinstance(last.value, str):
            attrs = self._format(positional.pop())
        condition = self._atom(positional[0])
        if not is_condition(condition.type):
            raise self._source.error(
                positional[0], f"R.assert_op needs a boolean scalar, got {condition.type}"
            )
        rest = positional[1:]
        values = tuple(v for r in rest for v in self._assert_values(r))
        return Call(CALL_OPS["assert_op"], (condition, *values), attrs, UNIT, span=span)

    def _assert_values(self, node: ast.expr) -> tuple[Expr, ...]:
        if is_none(node):
            return ()
        if sequence(node) is not None:
            return self._spread(node)
        return (self._atom(node),)
