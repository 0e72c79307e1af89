"""Reading dims and types."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import count

from eqsat.ir._expr import Var
from eqsat.ir._types import (
    PACKED_FUNC,
    UNKNOWN_DTYPE,
    CallableType,
    DeviceMesh,
    DTensorType,
    ObjectType,
    Placement,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
    full_vdevice,
)
from eqsat.ir.script._conditions import compare
from eqsat.ir.script._dim_functions import BINARY, CHOICES, OPERATORS, UNARY, chosen
from eqsat.ir.script._parse_mesh import mesh, placement
from eqsat.ir.script._source import Source
from eqsat.ir.script._syntax import (
    bind,
    bool_literal,
    callee,
    dotted,
    int_literal,
    is_none,
    sequence,
    text_literal,
)
from eqsat.shapes import (
    Dim,
    EqsatError,
    Shape,
    ShapeError,
    SymDim,
    dim_max,
    dim_min,
    is_dtype,
    is_symbol_name,
    sym,
    symbols,
)

ONE_DEVICE = DeviceMesh((), range(1))
"""The mesh of an `R.DTensor` that names none."""
_CONDITIONS = ("T.And", "T.Or", "T.Not")
_RENAMED = {"e4m3_float8": "float8_e4m3fn", "e5m2_float8": "float8_e5m2"}
"""Dtypes by their names up to 0.19."""
_INTEGERS = ("T.int64", "T.int32", "R.prim_value", "T.IntImm")


class TypeReader:
    """Reads types in the scope of one function.

    `names` maps names to symbols and variables; `global_infos` are those of the module so far.
    """

    def __init__(
        self,
        source: Source,
        names: dict[str, object],
        global_infos: Mapping[str, Sequence[object]],
    ) -> None:
        self.source = source
        self.names = names
        self._global_infos = global_infos
        self.outer: set[str] = set()

    def type(self, node: ast.expr, *, declare: bool = False) -> Type:
        """Return the type that `node` spells; with `declare` quoted names become symbols.

        Raises:
            ParseError: it is no type.
        """
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self.type(self._quoted(node), declare=declare)
        if is_none(node):
            return TupleType(())
        if isinstance(node, ast.Call):
            return self._call(node, declare)
        if (of_value := self._of_value(node)) is not None:
            return of_value
        match name := dotted(node):
            case "R.Tensor":
                return TensorType(UnknownShape())
            case "R.DTensor" | "R.dist.DTensor":
                return DTensorType(TensorType(UnknownShape()), ONE_DEVICE, Placement(()))
            case "R.Shape":
                return ShapeType()
            case "R.Tuple":
                return TupleType(())
            case "R.Any" | "R.Object":
                return ObjectType()
            case "R.Callable" | "R.PackedFunc":
                return PACKED_FUNC
            case _ if name.startswith("T.") and is_dtype(name[2:]):
                return PrimType(name[2:])
            case _:
                raise self.source.error(node, f"unknown type {ast.unparse(node)}")

    def _of_value(self, node: ast.expr) -> Type | None:
        """Return the type that `x.ty` or `x.struct_info` spells for a variable x."""
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr="ty" | "struct_info"):
                bound = self.names.get(name)
                return bound.type if isinstance(bound, Var) else None
            case _:
                return None

    def _quoted(self, node: ast.Constant) -> ast.expr:
        try:
            tree = ast.parse(str(node.value).strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise self.source.error(
                node, f"the quoted {node.value!r} is not an expression"
            ) from None
        # The carets of what stands inside the quotes show the quotes.
        for inner in ast.walk(tree):
            ast.copy_location(inner, node)
        return tree

    def _call(self, node: ast.Call, declare: bool) -> Type:
        match name := callee(node):
            case "R.Tensor":
                return self._tensor(node, declare)
            case "R.DTensor" | "R.dist.DTensor":
                return self._distributed(node, declare)
            case "R.Shape":
                return self._shape(node, declare)
            case "R.Tuple":
                items = sequence(node.args[0]) if len(node.args) == 1 else None
                bound = node.args if items is None else items
                return TupleType(tuple(self.type(a, declare=declare) for a in bound))
            case "R.Callable":
                return self._callable(node, declare)
            case "R.Prim":
                return self._prim(node)
            case "R.Any" | "R.Object" | "R.PackedFunc" | "I.StringType" | "R.AnyType":
                bind(self.source, node, "")
                return ObjectType()
            case _ if name.startswith("T.") and is_dtype(name[2:]) and not node.args:
                return PrimType(name[2:])
            case _:
                raise self.source.error(node, f"unknown type {ast.unparse(node)}")

    def _tensor(self, node: ast.Call, declare: bool) -> TensorType:
        return self._of_arguments(self._tensor_arguments(node, "dtype vdevice ndim"), declare)

    def _tensor_arguments(self, node: ast.Call, signature: str) -> dict[str, ast.expr]:
        """Return the arguments; a shape comes first unless a dtype stands alone."""
        first = node.args[0] if len(node.args) == 1 else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            return bind(self.source, node, signature)
        return bind(self.source, node, f"shape {signature}")

    def _distributed(self, node: ast.Call, declare: bool) -> Type:
        bound = self._tensor_arguments(node, "dtype device_mesh placement ndim")
        tensor = self._of_arguments(bound, declare)
        mesh = self.mesh(bound["device_mesh"]) if "device_mesh" in bound else ONE_DEVICE
        placement = self.placement(bound["placement"]) if "placement" in bound else Placement(())
        try:
            return DTensorType(tensor, mesh, placement)
        except TypeCheckError as error:
            raise self.source.locate(error, bound.get("placement", node)) from None

    def mesh(self, node: ast.expr) -> DeviceMesh:
        """Return the mesh that `"mesh[0]"` names among the module's, or `R.device_mesh` spells.

        Raises:
            ParseError: there is none of that name.
            TypeCheckError: it has not one device id a place.
        """
        return mesh(self.source, self._global_infos, node)

    def placement(self, node: ast.expr) -> Placement:
        """Return the placement that "S[0], R" spells.

        Raises:
            TypeCheckError: it is none.
        """
        return placement(self.source, node)

    def _of_arguments(self, bound: Mapping[str, ast.expr], declare: bool) -> TensorType:
        dtype = self.dtype(bound.get("dtype"))
        vdevice = "" if is_none(bound.get("vdevice")) else self._vdevice(bound["vdevice"])
        ndim = -1 if is_none(bound.get("ndim")) else self._ndim(bound["ndim"])
        if is_none(bound.get("shape")):
            return TensorType(UnknownShape(ndim), dtype, vdevice)
        shape = self.shape(bound["shape"], declare=declare)
        if isinstance(shape, tuple) and any(isinstance(d, int) and d < 0 for d in shape):
            raise self.source.error(bound["shape"], "a size is not negative")
        known = len(shape) if isinstance(shape, tuple) else shape.ndim
        if ndim >= 0 and known not in (-1, ndim):
            raise self.source.error(bound["ndim"], f"ndim={ndim}, but the shape has {known} dims")
        if ndim >= 0 and isinstance(shape, UnknownShape):
            shape = UnknownShape(ndim)
        return TensorType(shape, dtype, vdevice)

    def _vdevice(self, node: ast.expr) -> str:
        """Return "target:index:scope" in full, which is how TVM prints it."""
        device = text_literal(self.source, node, "vdevice")
        try:
            return full_vdevice(device)
        except TypeCheckError as error:
            raise self.source.error(node, str(error)) from None

    def _ndim(self, node: ast.expr) -> int:
        ndim = int_literal(self.source, node, "ndim")
        if not -1 <= ndim <= 64:
            raise self.source.error(node, f"ndim must be -1 (unknown) to 64, got {ndim}")
        return ndim

    def dtype(self, node: ast.expr | None) -> str:
        """Return a dtype's name; "void" for None, "" and "void".

        Raises:
            ParseError: it is no dtype.
        """
        if node is None or is_none(node):
            return UNKNOWN_DTYPE
        name = text_literal(self.source, node, "dtype")
        name = _RENAMED.get(name, name)
        if name in ("", UNKNOWN_DTYPE):
            return UNKNOWN_DTYPE
        if not is_dtype(name):
            raise self.source.error(node, f"unknown dtype {name!r}")
        return name

    def shape(self, node: ast.expr, *, declare: bool = False) -> Shape | UnknownShape:
        """Return the dims of a tuple or list; those of a shape variable are its type's.

        Raises:
            ParseError: it is no shape.
        """
        if callee(node) in ("R.shape", "R.Shape") and isinstance(node, ast.Call):
            inner = bind(self.source, node, "values ndim dtype").get("values")
            if inner is not None:
                return self.shape(inner, declare=declare)
        items = sequence(node)
        if items is not None:
            return tuple(self.dim(item, declare=declare) for item in items)
        if isinstance(node, ast.Name):
            bound = self.names.get(node.id)
            if isinstance(bound, Var) and isinstance(bound.type, ShapeType):
                return bound.type.dims
        raise self.source.error(node, f"a shape is a tuple of dims, got {ast.unparse(node)}")

    def _shape(self, node: ast.Call, declare: bool) -> Type:
        bound = bind(self.source, node, "values ndim")
        if "values" in bound and not is_none(bound["values"]):
            return ShapeType(self.shape(bound["values"], declare=declare))
        ndim = self._ndim(bound["ndim"]) if "ndim" in bound else -1
        return ShapeType(UnknownShape(ndim))

    def _callable(self, node: ast.Call, declare: bool) -> Type:
        bound = bind(self.source, node, "params ret purity derive_func")
        result = self.type(bound["ret"], declare=declare) if "ret" in bound else ObjectType()
        is_pure = "purity" in bound and bool_literal(self.source, bound["purity"], "purity")
        if "params" not in bound or is_none(bound["params"]):
            derive = self._derive_func(bound["derive_func"]) if "derive_func" in bound else ""
            return CallableType((), result, is_pure, opaque=True, derive_func=derive)
        items = sequence(bound["params"])
        if items is None:
            items = [bound["params"]]
        # The purity of a function type defaults to pure once its parameters are known.
        is_pure = is_pure or "purity" not in bound
        params = tuple(self.type(p, declare=declare) for p in items)
        return CallableType(params, result, is_pure)

    def _derive_func(self, node: ast.expr) -> str:
        return "" if is_none(node) else text_literal(self.source, node, "derive_func")

    def _prim(self, node: ast.Call) -> Type:
        bound = bind(self.source, node, "dtype value")
        if "value" in bound:
            return PrimType("int64")
        dtype = self.dtype(bound.get("dtype"))
        if dtype == UNKNOWN_DTYPE:
            raise self.source.error(node, "R.Prim needs a dtype")
        return PrimType(dtype)

    # --- dims -------------------------------------------------------------------------------

    def dim(self, node: ast.expr, *, declare: bool = False) -> Dim:
        """Return the dim that `node` spells; with `declare` quoted names become symbols.

        Raises:
            ParseError: it is no dim, or a name in it is not known.
        """
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            inner = self._quoted(node)
            if declare:
                self._declare(inner)
            return self.dim(inner)
        try:
            return self._dim(node)
        except ShapeError as error:
            raise self.source.error(node, str(error)) from None
        except EqsatError as error:
            raise self.source.locate(error, node) from None

    def is_condition(self, node: ast.expr) -> bool:
        """Say whether `node` has the form of a truth value over sizes."""
        is_call = callee(node) in _CONDITIONS
        is_not = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        return is_call or is_not or isinstance(node, (ast.Compare, ast.BoolOp))

    def condition(self, node: ast.expr) -> Dim:
        """Return the dim that is 1 where the condition holds and 0 where not.

        Raises:
            ParseError: it is no condition over known sizes.
        """
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                found = compare(op, self.dim(left), self.dim(right))
                if found is not None:
                    return self._bounded(node, found)
            case ast.BoolOp(op=op, values=values):
                merge = dim_min if isinstance(op, ast.And) else dim_max
                return self._bounded(node, reduce(merge, map(self.condition, values)))
            case ast.UnaryOp(op=ast.Not(), operand=a):
                return 1 - self.condition(a)
            case ast.Call(args=[a], keywords=[]) if callee(node) == "T.Not":
                return 1 - self.condition(a)
            case ast.Call(args=[a, b], keywords=[]) if callee(node) in ("T.And", "T.Or"):
                merge = dim_min if callee(node) == "T.And" else dim_max
                return self._bounded(node, merge(self.condition(a), self.condition(b)))
            case _:
                pass
        raise self.source.error(node, f"{ast.unparse(node)} is no condition over sizes")

    def _declare(self, tree: ast.expr) -> None:
        for n in ast.walk(tree):
            if not isinstance(n, ast.Name) or n.id in ("T", "min", "max", "tir", "tirx"):
                continue
            if n.id in self.outer:  # a quoted name is a new symbol, though one outside has its name
                self.outer.discard(n.id)
                self.names[n.id] = self._unused(n.id)
            elif not isinstance(self.names.get(n.id), Dim):
                if not is_symbol_name(n.id):
                    raise self.source.error(n, f"{n.id} cannot name a dim")
                self.names[n.id] = sym(n.id)

    def _unused(self, name: str) -> SymDim:
        taken = {str(v) for v in self.names.values() if isinstance(v, SymDim)}
        return next(sym(new) for k in count(1) if (new := f"{name}_{k}") not in taken)

    def _dim(self, node: ast.expr) -> Dim:
        match node:
            case ast.Constant(value=bool()):
                raise self.source.error(node, "a dim is an integer, got a truth value")
            case ast.Constant(value=int() as value):
                return value
            case ast.Name(id=name):
                return self._named(node, name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.dim(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(node, op, self.dim(left), self.dim(right))
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return -self.dim(operand) - 1
            case ast.Call(keywords=[]):
                return self._bounded(node, self._dim_call(node, dotted(node.func)))
            case _:
                raise self.source.error(node, f"{ast.unparse(node)} is not a dim")

    def _dim_call(self, node: ast.Call, name: str) -> Dim:
        match node.args:
            case [a, b] if name in BINARY:
                return BINARY[name](self.dim(a), self.dim(b))
            case [a] if name in UNARY:
                return UNARY[name](self.dim(a))
            case [condition, a, b] if name in CHOICES:
                return chosen(self.condition(condition), self.dim(a), self.dim(b))
            case [a] if name in _INTEGERS:
                return self.dim(a)
            case [_, a] if name in ("T.Cast", "T.IntImm"):
                return self.dim(a)
            case [a, ast.Constant(value="int64")] if name == "T.cast":
                return self.dim(a)
            case [ast.Constant(value="int64")] if name.endswith(".astype"):
                assert isinstance(node.func, ast.Attribute)
                return self.dim(node.func.value)
            case _:
                raise self.source.error(
                    node,
                    f"{ast.unparse(node)} is not a dim; a dim is made by +, -, *, //, %, T.min, "
                    "T.max and T.if_then_else",
                )

    def _named(self, node: ast.expr, name: str) -> Dim:
        bound = self.names.get(name)
        if isinstance(bound, Dim):
            return bound
        if isinstance(bound, Var) and bound.type == PrimType("int64") and is_symbol_name(name):
            return sym(bound.name)
        known = ", ".join(n for n, v in self.names.items() if isinstance(v, Dim)) or "none"
        raise self.source.error(
            node, f"no symbol {name} is known here (known: {known}); declare it: {name} = T.int64()"
        )

    def _binary(self, node: ast.expr, op: ast.operator, a: Dim, b: Dim) -> Dim:
        function = OPERATORS.get(type(op))
        if function is None:
            raise self.source.error(node, f"operator {type(op).__name__} has no meaning for dims")
        return self._bounded(node, function(a, b))

    def _bounded(self, node: ast.expr, value: Dim) -> Dim:
        # A product of sums doubles with every factor; no program needs such a dim.
        if isinstance(value, SymDim) and (len(value.terms) > 256 or len(symbols(value)) > 64):
            raise self.source.error(node, "this dim has more than 256 terms")
        return value
