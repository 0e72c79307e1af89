"""Reading Relax functions."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import NoReturn

from eqsat.ir._attrs import AttrValue
from eqsat.ir._call_ops import UNIT, is_condition
from eqsat.ir._expr import (
    Binding,
    BindingBlock,
    Call,
    DataTypeImm,
    Expr,
    Function,
    If,
    MatchCast,
    NullValue,
    SeqExpr,
    StringImm,
    Tuple,
    TupleGetItem,
    Var,
    VarBinding,
)
from eqsat.ir._lattice import BaseCheck, erase_to_well_defined, type_base_check, type_lca
from eqsat.ir._reads import dims_of_type
from eqsat.ir._subtyping import bind_symbols, fits
from eqsat.ir._types import (
    CallableType,
    ObjectType,
    PrimType,
    TupleType,
    Type,
    TypeCheckError,
    substitute_type,
)
from eqsat.ir.script._context import MODULE, Context, declares_symbol, type_params
from eqsat.ir.script._parse_expr import ExprReader
from eqsat.ir.script._parse_types import TypeReader
from eqsat.ir.script._print_types import TypePrinter
from eqsat.ir.script._syntax import (
    attributes,
    bind,
    bool_literal,
    callee,
    dotted,
    keywords,
    required,
    sequence,
)
from eqsat.shapes import Dim, Proof, SymDim, is_symbol_name, sym

_FUNCTION_OPTIONS = {"pure", "private", "check_well_formed", "is_pure", "is_private"}


def read_signature(
    context: Context, node: ast.FunctionDef, names: dict[str, object], is_local: bool = False
) -> tuple[tuple[Var, ...], Type | None]:
    """Return the parameters and the declared result type; symbols enter `names`.

    Raises:
        ParseError: a parameter has no type, or an annotation is none.
    """
    source = context.source
    a = node.args
    if a.vararg or a.kwarg or a.kwonlyargs or a.defaults or a.kw_defaults:
        raise source.error(
            node, "a Relax function has plain parameters: no defaults, no *args, no **kwargs"
        )
    types = TypeReader(source, names, context.global_infos)
    if is_local:
        types.outer = {name for name, value in names.items() if isinstance(value, Dim)}
    names.update(type_params(context, node))
    params: list[Var] = []
    # Names of symbols may be used before the parameter that defines them.
    for p in (*a.posonlyargs, *a.args):
        if p.annotation is None:
            raise source.error(
                p, f"parameter {p.arg} needs a type, such as R.Tensor((n, 4), dtype=...)"
            )
        name = _symbol_of_prim(p.annotation) or p.arg
        var = Var(name, types.type(p.annotation, declare=True), span=source.span(p))
        if any(p.arg == q.name for q in params):
            raise source.error(p, f"parameter {p.arg} is declared twice")
        params.append(var)
        names[p.arg] = names[p.arg] if isinstance(names.get(p.arg), Dim) else var
    result = None if node.returns is None else types.type(node.returns, declare=True)
    for p, var in zip((*a.posonlyargs, *a.args), params, strict=True):
        names[p.arg] = var
    return tuple(params), result


def _symbol_of_prim(node: ast.expr) -> str:
    """Return n for `R.Prim(value="n")`: there the parameter is the symbol."""
    if callee(node) == "R.Prim" and isinstance(node, ast.Call):
        for k in node.keywords:
            if k.arg == "value" and isinstance(k.value, ast.Constant):
                return str(k.value.value) if is_symbol_name(str(k.value.value)) else ""
    return ""


class FunctionReader:
    """Reads the body of one function, or of one branch of an `if` in it."""

    def __init__(
        self, context: Context, names: dict[str, object], outer: Mapping[str, Dim] | None = None
    ) -> None:
        self._context = context
        self._outer = dict(outer or {})
        self._is_local = outer is not None
        self._is_private = False
        self._known: dict[str, Dim] = {}
        self._source = context.source
        self._names = names
        self._exprs = ExprReader(context, names, self._fresh)
        self._blocks: list[BindingBlock] = []
        self._bindings: list[Binding] = []
        self._in_dataflow = False
        self._attrs: dict[str, AttrValue] = {}
        self._counter = 0

    # --- functions --------------------------------------------------------------------------

    def function(self, node: ast.FunctionDef) -> Function:
        """Return the function of a definition.

        Raises:
            ParseError: it is no Relax function.
            TypeCheckError, ShapeError: it breaks a typing rule.
        """
        options = self._options(node)
        self._is_private = options.get("private", options.get("is_private", False))
        params, declared = read_signature(self._context, node, self._names, self._is_local)
        signature = {**self._outer, **_symbols_of(params)}
        self._known = dict(signature)
        result: Expr | None = None
        for i, statement in enumerate(node.body):
            if isinstance(statement, ast.Return):
                if i + 1 < len(node.body):
                    raise self._source.error(node.body[i + 1], "nothing may follow the return")
                if statement.value is None:
                    raise self._source.error(statement, "return needs a value")
                result = self._result(statement.value)
                break
            self._statement(statement)
        if result is None:
            raise self._source.error(node, f"function {node.name} has no return")
        self._close_block(False)
        body = SeqExpr(tuple(self._blocks), result)
        if declared is not None and fits(declared, result.type) is Proof.NO:
            self._mismatch(node.returns or node, declared, result.type)
        return Function(
            node.name,
            params,
            body,
            declared if declared is not None else erase_to_well_defined(result.type, signature),
            is_pure=options.get("pure", options.get("is_pure", True)),
            is_private=self._is_private,
            attrs=self._attrs,
            span=self._source.span(node),
        )

    def _erased(self, ty: Type) -> Type:
        """Return `ty` without the symbols that are only known further inside."""
        return erase_to_well_defined(ty, self._known)

    def is_pure(self, node: ast.FunctionDef) -> bool:
        """Return the purity that the decorator of a function declares."""
        options = self._options(node)
        return options.get("pure", options.get("is_pure", True))

    def _options(self, node: ast.FunctionDef) -> dict[str, bool]:
        for decorator in node.decorator_list:
            if not isinstance(decorator, ast.Call):
                continue
            given = keywords(self._source, decorator)
            if unknown := sorted(set(given) - _FUNCTION_OPTIONS):
                raise self._source.error(
                    given[unknown[0]], f"R.function has no option {unknown[0]}"
                )
            return {k: bool_literal(self._source, v, k) for k, v in given.items()}
        return {}

    def _result(self, node: ast.expr) -> Expr:
        value = self._exprs.value(node)
        return self._fresh(value) if isinstance(value, (Call, TupleGetItem)) else value

    def _mismatch(self, node: ast.AST, declared: Type, found: Type) -> NoReturn:
        error = TypeCheckError(
            f"declared {TypePrinter().type(declared)}, but the value is {TypePrinter().type(found)}"
        )
        raise self._source.locate(error, node)

    # --- bindings ---------------------------------------------------------------------------

    def _fresh(self, value: Expr) -> Var:
        prefix = "lv" if self._in_dataflow else "gv"
        name = prefix
        while name in self._names:
            self._counter += 1
            name = f"{prefix}{self._counter}"
        return self._define(name, value, value.type)

    def _define(self, name: str, value: Expr, ty: Type) -> Var:
        var = Var(name, ty, is_dataflow=self._in_dataflow, span=getattr(value, "span", None))
        self._bindings.append(VarBinding(var, value))
        self._names[name] = var
        self._exprs.hidden.discard(name)
        if isinstance(value, (DataTypeImm, StringImm)):
            self._context.immediates[var] = value.value
        elif isinstance(value, NullValue) or (isinstance(value, Tuple) and not value.fields):
            self._context.immediates[var] = None
        return var

    def _close_block(self, is_dataflow: bool) -> None:
        if self._bindings or is_dataflow:
            self._blocks.append(BindingBlock(tuple(self._bindings), is_dataflow))
        self._bindings = []

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                self._assign(node, name, value, None)
            case ast.Assign(targets=[ast.Tuple() | ast.List() as target], value=value):
                self._unpack(node, target, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                self._assign(node, name, value, node.annotation)
            case ast.Expr(value=value):
                self._effect(node, value)
            case ast.With(items=[item]) if callee(item.context_expr) == "R.dataflow":
                self._dataflow(node)
            case ast.If():
                self._if(node)
            case ast.FunctionDef():
                self._closure(node)
            case ast.Pass():
                pass
            case ast.Assign():
                raise self._source.error(node, "a binding has one name on its left")
            case ast.Return():
                raise self._source.error(node, "return stands once, at the end of the function")
            case ast.For() | ast.While():
                raise self._source.error(node, "Relax has no loops; use recursion or a PrimFunc")
            case _:
                what = type(node).__name__
                raise self._source.error(
                    node, f"a statement of kind {what} is not part of TVMScript"
                )

    def _assign(
        self, node: ast.stmt, name: str, value: ast.expr, annotation: ast.expr | None
    ) -> None:
        if isinstance(value, ast.Name) and self._is_module_name(value.id):
            self._names[name] = MODULE
            return
        if declares_symbol(self._source, value):
            if not is_symbol_name(name):
                raise self._source.error(node, f"{name} cannot name a dim")
            bound = self._names.get(name)
            is_scalar = isinstance(bound, Var) and bound.type == PrimType("int64")
            if not is_scalar and not isinstance(bound, Dim):
                self._names[name] = sym(name)
            return
        if callee(value) == "R.match_cast" and isinstance(value, ast.Call):
            var = self._match_cast(name, value)
            if annotation is not None:
                declared = self._exprs.types.type(annotation)
                if type_base_check(declared, var.type) is not BaseCheck.PASS:
                    self._mismatch(annotation, declared, var.type)
            return
        read = self._annotated_value(value, annotation)
        self._define(name, read, self._declared(annotation, read.type))

    def _annotated_value(self, value: ast.expr, annotation: ast.expr | None) -> Expr:
        if annotation is not None:
            self._exprs.annotations[value] = annotation
        return self._exprs.value(value)

    def _unpack(self, node: ast.Assign, target: ast.Tuple | ast.List, value: ast.expr) -> None:
        """Read `a, b = x, y` and `a, b = t` for a variable `t` of a tuple type."""
        names = [t.id for t in target.elts if isinstance(t, ast.Name)]
        if len(names) != len(target.elts):
            raise self._source.error(target, "the left of a binding holds plain names")
        items = sequence(value)
        if items is None and isinstance(value, ast.Name):
            bound = self._names.get(value.id)
            if isinstance(bound, Var) and isinstance(bound.type, TupleType):
                items = [_field_of(value, k) for k in range(len(bound.type.fields))]
        if items is None:
            raise self._source.error(
                node, "bind the tuple to one name and take fields by t[0], t[1]"
            )
        if len(items) != len(names):
            raise self._source.error(node, f"{len(names)} names for {len(items)} values")
        for name, item in zip(names, items, strict=True):
            self._assign(node, name, item, None)

    def _is_module_name(self, name: str) -> bool:
        return name == self._context.module_name or self._names.get(name) is MODULE

    def _declared(self, annotation: ast.expr | None, found: Type) -> Type:
        """Return the type of a variable: the annotation as in TVM, which must not contradict."""
        if annotation is None or dotted(annotation) in ("R.Tensor", "R.Any", "R.Object", "R.Tuple"):
            if annotation is not None:
                self._check(annotation, self._exprs.types.type(annotation), found)
            return found
        declared = self._exprs.types.type(annotation)
        if isinstance(declared, ObjectType):
            return found
        self._check(annotation, declared, found)
        return declared

    def _check(self, node: ast.expr, declared: Type, found: Type) -> None:
        # A bare R.Tuple says nothing of the fields.
        if dotted(node) != "R.Tuple" and fits(declared, found) is Proof.NO:
            self._mismatch(node, declared, found)

    def _match_cast(self, name: str, node: ast.Call) -> Var:
        bound = bind(self._source, node, "value ty struct_info")
        value = self._exprs.atom(required(self._source, node, bound, "value"))
        ty_node = bound["struct_info"] if "struct_info" in bound else bound.get("ty")
        if ty_node is None:
            raise self._source.error(node, "R.match_cast needs a value and a type")
        ty = self._exprs.types.type(ty_node)
        if fits(ty, value.type) is Proof.NO:
            self._mismatch(ty_node, ty, value.type)
        ty = self._with_known_sizes(ty, value.type)
        var = Var(name, ty, is_dataflow=self._in_dataflow, span=self._source.span(node))
        self._known.update(_symbols_of([var]))
        self._bindings.append(MatchCast(var, value, ty))
        self._names[name] = var
        self._exprs.hidden.discard(name)
        return var

    def _with_known_sizes(self, ty: Type, found: Type) -> Type:
        """Return `ty` of a cast with the symbols that it would define as what they surely are."""
        sizes = {s: d for s, d in bind_symbols([ty], [found]).items() if s not in self._known}
        self._names.update(sizes)
        return substitute_type(ty, sizes)

    def _effect(self, node: ast.Expr, value: ast.expr) -> None:
        if callee(value) == "R.func_attr" and isinstance(value, ast.Call):
            given = required(self._source, value, bind(self._source, value, "attrs"), "attrs")
            self._attrs.update(attributes(self._source, given, "R.func_attr"))
            if self._is_private and "global_symbol" in self._attrs:
                raise self._source.error(given, "a private function has no global symbol")
        elif isinstance(value, ast.Constant) and isinstance(value.value, str):
            return  # a docstring
        elif isinstance(value, ast.Call):
            if callee(value) == "R.output":
                raise self._source.error(node, "R.output stands at the end of a dataflow block")
            self._effect_of(node, value)
        else:
            raise self._source.error(node, "this expression has no effect; bind it to a name")

    def _effect_of(self, node: ast.Expr, value: ast.Call) -> Var:
        """Read a call that stands alone."""
        read = self._exprs.value(value)
        if read.type != UNIT:
            shown = TypePrinter().type(read.type)
            raise self._source.error(
                node, f"only what returns nothing may stand alone; bind this {shown} to a name"
            )
        return self._define("_", read, read.type)

    def _dataflow(self, node: ast.With) -> None:
        if self._in_dataflow:
            raise self._source.error(node, "dataflow blocks do not nest")
        self._close_block(False)
        self._in_dataflow = True
        before = dict(self._names)
        outputs: list[str] = []
        for i, statement in enumerate(node.body):
            value = statement.value if isinstance(statement, ast.Expr) else None
            if callee(value) == "R.output" and isinstance(value, ast.Call):
                if i + 1 < len(node.body):
                    raise self._source.error(
                        node.body[i + 1], "nothing may follow R.output in its block"
                    )
                outputs = [self._output(a) for a in value.args]
                break
            if isinstance(statement, (ast.If, ast.With)):
                raise self._source.error(statement, "a dataflow block holds bindings only")
            self._statement(statement)
        self._in_dataflow = False
        self._close_block(True)
        self._leave_dataflow(before, outputs)

    def _output(self, node: ast.expr) -> str:
        bound = self._names.get(node.id) if isinstance(node, ast.Name) else None
        is_local = any(b.var is bound for b in self._bindings)
        if not isinstance(node, ast.Name) or not isinstance(bound, Var) or not is_local:
            raise self._source.error(
                node, f"{ast.unparse(node)} is not a variable of this dataflow block"
            )
        bound.is_dataflow = False
        return node.id

    def _leave_dataflow(self, before: dict[str, object], outputs: list[str]) -> None:
        for name, bound in list(self._names.items()):
            if isinstance(bound, Var) and bound.is_dataflow and name not in outputs:
                self._exprs.hidden.add(name)
                del self._names[name]
                if name in before:
                    self._names[name] = before[name]

    def _closure(self, node: ast.FunctionDef) -> None:
        names = dict(self._names)
        params, declared = read_signature(self._context, node, dict(names), is_local=True)
        if declared is not None:
            is_pure = self.is_pure(node)
            ty = CallableType(tuple(p.type for p in params), declared, is_pure)
            names[node.name] = Var(node.name, ty, is_dataflow=self._in_dataflow)
        function = FunctionReader(self._context, names, self._known).function(node)
        result = CallableType(
            tuple(p.type for p in function.params), function.ret_type, function.is_pure
        )
        var = names[node.name] if declared is not None else self._local(node.name, result)
        assert isinstance(var, Var)
        var.type = result
        self._bindings.append(VarBinding(var, function))
        self._names[node.name] = var

    def _local(self, name: str, ty: Type) -> Var:
        return Var(name, ty, is_dataflow=self._in_dataflow)

    # --- if ---------------------------------------------------------------------------------

    def _if(self, node: ast.If) -> Var:
        if self._in_dataflow:
            raise self._source.error(
                node, "a dataflow block has no control flow; put the `if` outside"
            )
        condition = self._exprs.atom(node.test)
        if not is_condition(condition.type):
            error = TypeCheckError(
                f"a condition is a boolean scalar, got {TypePrinter().type(condition.type)}"
            )
            raise self._source.locate(error, node.test)
        if not node.orelse:
            raise self._source.error(node, "an `if` needs an `else` that binds the same name")
        then_name, then_branch = self._branch(node.body)
        else_name, else_branch = self._branch(node.orelse)
        if then_name != else_name:
            raise self._source.error(
                node, f"both branches must end by binding one name, not {then_name} and {else_name}"
            )
        ty = self._erased(type_lca(then_branch.type, else_branch.type))
        value = If(condition, then_branch, else_branch, ty, self._source.span(node))
        return self._define(then_name, value, ty)

    def _branch(self, statements: list[ast.stmt]) -> tuple[str, SeqExpr]:
        reader = FunctionReader(self._context, dict(self._names), self._outer)
        reader._known = dict(self._known)
        reader._exprs.hidden |= self._exprs.hidden
        reader._counter = self._counter
        for statement in statements[:-1]:
            reader._statement(statement)
        name, result = reader._last(statements[-1])
        reader._close_block(False)
        return name, SeqExpr(tuple(reader._blocks), result)

    def _last(self, node: ast.stmt) -> tuple[str, Expr]:
        """Read the last binding of a branch; `z = y` and tuples are the result themselves."""
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                annotation = None
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                annotation = node.annotation
            case ast.If():
                var = self._if(node)
                return var.name, var
            case ast.Expr(value=ast.Call() as value):
                return "_", self._effect_of(node, value)
            case _:
                raise self._source.error(node, "a branch must end by binding a name")
        if callee(value) == "R.match_cast" and isinstance(value, ast.Call):
            return name, self._match_cast(name, value)
        read = self._annotated_value(value, annotation)
        ty = self._declared(annotation, read.type)
        if isinstance(read, (Call, TupleGetItem)):
            return name, self._define(name, read, ty)
        return name, read


def _field_of(node: ast.Name, index: int) -> ast.expr:
    constant = ast.copy_location(ast.Constant(index), node)
    return ast.copy_location(ast.Subscript(node, constant, ast.Load()), node)


def _symbols_of(variables: Sequence[Var]) -> dict[str, Dim]:
    """Return the symbols that the types of `variables` define, each standing for itself."""
    dims = [d for v in variables for d in dims_of_type(v.type)]
    found = {name: sym(name) for d in dims if isinstance(d, SymDim) for name in sorted(d.symbols)}
    return {**found, **{v.name: sym(v.name) for v in variables if _is_symbol(v)}}


def _is_symbol(var: Var) -> bool:
    return var.type == PrimType("int64") and is_symbol_name(var.name)
