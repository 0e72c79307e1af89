"""From a Relax function to the e-nodes that are loaded into the e-graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from eqsat._symbols import (
    CONSTANT_SYMBOL,
    FIELD_SYMBOL,
    INPUT_SYMBOL,
    SCALAR_SYMBOL,
    Vocabulary,
    extern_symbol,
    layout_of,
)
from eqsat._tables import Symbol
from eqsat._values import is_identity, is_identity_kernel, uniform_number
from eqsat.ir import (
    AttrValue,
    Binding,
    Call,
    CallableType,
    Constant,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    MatchCast,
    NullValue,
    OpDef,
    OperandKind,
    ShapeExpr,
    ShapeType,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    Type,
    UnknownShape,
    Var,
    VarBinding,
    infer_type,
)
from eqsat.rules._resolve import same_type
from eqsat.shapes import EqsatError, Shape


class EncodeError(EqsatError):
    """A function holds something that the e-graph cannot stand for."""


@dataclass(frozen=True, slots=True)
class LoadNode:
    """An e-node of the program; operands are positions of earlier ones."""

    symbol: Symbol
    operands: tuple[int, ...]
    columns: tuple[int, ...]
    type: int
    known: int


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """A function as e-nodes.

    Attributes:
        nodes: operands before their users.
        outputs: the tensors of the function's result, left to right.
        inputs: what each INPUT stands for, a parameter or a field of one.
        externs: the bindings that stay as they are, by the index in their e-node.
        names: the variables that stand for an e-node, in order.
    """

    nodes: tuple[LoadNode, ...]
    outputs: tuple[int, ...]
    inputs: tuple[Expr, ...]
    externs: tuple[Binding, ...]
    ops: frozenset[str]
    names: Mapping[int, tuple[str, ...]]


# What a variable stands for: an e-node, several values as one, or an expression that is no tensor.
Value = int | list["Value"] | ShapeExpr | NullValue


def encode(function: Function, words: Vocabulary) -> Program:
    """Return the e-nodes of `function`.

    Raises:
        EncodeError: there is control flow, an effect, or a value that is no tensor, tuple or shape.
    """
    encoder = _Encoder(words)
    for param in function.params:
        encoder.bind(param, encoder.parameter(param, param.type))
    for block in function.body.blocks:
        for binding in block.bindings:
            encoder.binding(binding, is_dataflow=block.is_dataflow)
    outputs = [*encoder.tensors(encoder.value(function.body.result), "the result")]
    return Program(
        nodes=tuple(encoder.nodes),
        outputs=tuple(outputs),
        inputs=tuple(encoder.inputs),
        externs=tuple(encoder.externs),
        ops=frozenset(encoder.ops),
        names=encoder.names,
    )


@dataclass(eq=False)
class _Encoder:
    words: Vocabulary
    nodes: list[LoadNode] = field(default_factory=list[LoadNode])
    inputs: list[Expr] = field(default_factory=list[Expr])
    externs: list[Binding] = field(default_factory=list[Binding])
    ops: set[str] = field(default_factory=set[str])
    names: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])

    def __post_init__(self) -> None:
        self._env: dict[Var, Value] = {}
        self._known: dict[tuple[Symbol, tuple[int, ...], tuple[int, ...]], int] = {}

    def bind(self, var: Var, value: Value) -> None:
        self._env[var] = value
        if isinstance(value, int):
            self.names[value] = (*self.names.get(value, ()), var.name)

    def parameter(self, expr: Expr, ty: Type) -> Value:
        match ty:
            case TensorType():
                self.inputs.append(expr)
                return self._add(INPUT_SYMBOL, (), (len(self.inputs) - 1,), ty)
            case TupleType(fields):
                return [self.parameter(TupleGetItem(expr, i), f) for i, f in enumerate(fields)]
            case ShapeType(dims) if not isinstance(dims, UnknownShape):
                return ShapeExpr(dims)
            case _:
                return NullValue()

    def binding(self, binding: Binding, *, is_dataflow: bool) -> None:
        if isinstance(binding, MatchCast):
            self.bind(binding.var, self._match_cast(binding))
            return
        try:
            value = self._bound_value(binding, is_dataflow)
        except EqsatError as error:
            error.add_note(f"at {binding.var.name}")
            raise
        self.bind(binding.var, value)

    def _bound_value(self, binding: VarBinding, is_dataflow: bool) -> Value:
        value = binding.value
        if isinstance(value, Call) and not self._is_operator(value):
            if not is_dataflow and not _is_pure(value):
                raise EncodeError(
                    "a call with effects has a fixed place among the others, which the e-graph "
                    "does not keep; put the pure part of the function into its own dataflow block"
                )
            if isinstance(value.op, OpDef) and "inplace" in value.op.name:
                raise EncodeError(f"{value.op.name} overwrites an operand that others may share")
            return self._extern(binding, value.type)
        return self.value(value)

    def _is_operator(self, call: Call) -> bool:
        """Say whether rules may look at the call; `call_tir` and its kin are no such operators."""
        if not isinstance(call.op, OpDef) or self.words.ops.get(call.op.name) is not call.op:
            return False
        return all(map(_has_arithmetic, (call.type, *(a.type for a in call.args))))

    def _match_cast(self, binding: MatchCast) -> Value:
        value = self.value(binding.value)
        if isinstance(binding.type, ShapeType) and not isinstance(binding.type.dims, UnknownShape):
            return ShapeExpr(binding.type.dims)
        if isinstance(value, (int, list)):
            have = self._type(value)
            if same_type(have, binding.type, self.words.values.facts):
                return value
        return self._extern(binding, binding.type)

    def value(self, expr: Expr) -> Value:
        match expr:
            case Var():
                return self._variable(expr)
            case Constant():
                return self._constant(expr)
            case ShapeExpr() | NullValue():
                return expr
            case Tuple(fields):
                return [self.value(f) for f in fields]
            case TupleGetItem(inner, index):
                return self._field(self.value(inner), index)
            case Call(OpDef() as op) if self._is_operator(expr):
                return self._call(expr, op)
            case Call():
                raise EncodeError("an opaque call stands inside another expression; bind it first")
            case If():
                raise EncodeError("an If is not in a dataflow block; optimize its branches instead")
            case _:
                raise EncodeError(f"a {type(expr).__name__} is no tensor, tuple or shape")

    def _variable(self, var: Var) -> Value:
        if var not in self._env:
            raise EncodeError(f"{var.name} is used before it is bound")
        return self._env[var]

    def _constant(self, constant: Constant) -> int:
        values = self.words.values
        number = uniform_number(constant.value)
        known = 1 if number is None else values.number(number)
        if constant.value.ndim == 0 and number is not None:
            return self._scalar(known, constant.tensor_type.dtype)
        if number is not None and constant.value.size > 1:
            scalar = self._scalar(known, constant.tensor_type.dtype)
            return self._made("full", (constant.value.shape, scalar))
        if number is None and (identity := self._identity(constant)) is not None:
            return identity
        column = values.array(constant.value)
        return self._add(CONSTANT_SYMBOL, (), (column,), constant.type, known)

    def _scalar(self, number: int, dtype: str) -> int:
        columns = (number, self.words.values.attr(dtype))
        return self._add(SCALAR_SYMBOL, (), columns, TensorType((), dtype), number)

    def _made(self, name: str, operands: Sequence[int | Shape], **attrs: AttrValue) -> int:
        """Add a call of an operator that makes a constant of the program, so that rules see it."""
        op = self.words.ops[name]
        types = [ShapeType(o) if isinstance(o, tuple) else self._type(o) for o in operands]
        form = self.words.symbol(op, layout_of(op, operands))
        filled = op.fill_attrs(attrs)
        columns = [self.words.values.attr(o) for o in operands if isinstance(o, tuple)]
        columns.extend(self.words.values.attr(filled[a.name]) for a in op.attrs)
        classes = tuple(o for o in operands if isinstance(o, int))
        self.ops.add(op.name)
        return self._add(form.symbol, classes, tuple(columns), infer_type(op, types, filled))

    def _identity(self, constant: Constant) -> int | None:
        """Add an identity matrix, or a kernel that leaves an image as it is, as what makes it."""
        value, dtype = constant.value, constant.tensor_type.dtype
        if is_identity(value):
            return self._made("eye", (), n=len(value), dtype=dtype)
        if not is_identity_kernel(value):
            return None
        count, _, height, width = value.shape
        matrix = self._made("eye", (), n=count, dtype=dtype)
        point = self._made("reshape", (matrix, (count, count, 1, 1)))
        down, across = height // 2, width // 2
        if down == across == 0:
            return point
        return self._made("nn.pad", (point,), pad_width=(0, 0, 0, 0, down, down, across, across))

    def _field(self, value: Value, index: int) -> Value:
        if isinstance(value, list):
            return value[index]
        ty = self._type(value)
        if not isinstance(ty, TupleType) or not isinstance(value, int):
            raise EncodeError(f"field {index} of {ty}, which is no tuple")
        return self._add(FIELD_SYMBOL, (value,), (index,), ty.fields[index])

    def _type(self, value: Value) -> Type:
        match value:
            case int():
                return self.words.values.type_at(self.nodes[value].type)
            case list():
                return TupleType(tuple(self._type(v) for v in value))
            case _:
                return value.type

    def _call(self, call: Call, op: OpDef) -> Value:
        padded = (*call.args, *(NullValue(),) * (len(op.operands) - len(call.args)))
        operands = [self.value(a) for a in padded]
        given: list[object] = []
        columns: list[int] = []
        for declared, operand in zip(op.operands, operands, strict=True):
            shape = self._operand(op, declared.name, declared.kind, operand, given)
            columns.extend(shape)
        form = self.words.symbol(op, layout_of(op, given))
        columns.extend(self.words.values.attr(call.attrs[a.name]) for a in op.attrs)
        # Inferred from canonical operand types, so that a rule that builds the same call agrees.
        ty = infer_type(op, [self._type(o) for o in operands], dict(call.attrs))
        self.ops.add(op.name)
        return self._add(form.symbol, tuple(_classes(given)), tuple(columns), ty)

    def _operand(
        self, op: OpDef, name: str, kind: OperandKind, operand: Value, given: list[object]
    ) -> list[int]:
        """Add `operand` to `given`; return its columns."""
        match operand:
            case NullValue():
                given.append(None)
                return []
            case ShapeExpr(dims) if kind is OperandKind.SHAPE:
                given.append(dims)
                return [self.words.values.attr(dims)]
            case int() if kind is OperandKind.TENSOR:
                given.append(operand)
                return []
            case list() if kind is OperandKind.TENSORS:
                given.append([*self.tensors(operand, f"{name} of {op.name}")])
                return []
            case int() if kind is OperandKind.TENSORS:
                given.append([*self.tensors(operand, f"{name} of {op.name}")])
                return []
            case _:
                raise EncodeError(f"operand {name} of {op.name} is {self._type(operand)}")

    def tensors(self, value: Value, where: str) -> Iterator[int]:
        """Yield the tensors in `value`, left to right."""
        match value:
            case int():
                ty = self._type(value)
                if isinstance(ty, TupleType):
                    for i in range(len(ty.fields)):
                        yield from self.tensors(self._field(value, i), where)
                else:
                    yield value
            case list():
                for each in value:
                    yield from self.tensors(each, where)
            case _:
                raise EncodeError(f"{where} holds {self._type(value)}, which is no tensor")

    def _extern(self, binding: Binding, ty: Type) -> Value:
        if not isinstance(ty, (TensorType, TupleType)):
            raise EncodeError(f"{binding.var.name} is {ty}, which is no tensor")
        leaves = [self.value(e) for e in extern_leaves(binding)]
        operands = [t for leaf in leaves for t in self.tensors(leaf, binding.var.name)]
        self.externs.append(binding)
        columns = (len(self.externs) - 1,)
        return self._add(extern_symbol(len(operands)), tuple(operands), columns, ty)

    def _add(
        self,
        symbol: Symbol,
        operands: tuple[int, ...],
        columns: tuple[int, ...],
        ty: Type,
        known: int = 0,
    ) -> int:
        key = (symbol, operands, columns)
        if key not in self._known:
            self._known[key] = len(self.nodes)
            type_id = self.words.values.type(ty)
            self.nodes.append(LoadNode(symbol, operands, columns, type_id, known))
        return self._known[key]


def extern_leaves(binding: Binding) -> Iterator[Expr]:
    """Yield the tensors that a binding which stays as it is reads, in order."""
    call = binding.value
    arguments = call.args if isinstance(call, Call) else (call,)
    stack = [*reversed(arguments)]
    while stack:
        e = stack.pop()
        match e:
            case Tuple(fields):
                stack.extend(reversed(fields))
            case Var() | Constant() | TupleGetItem():
                if isinstance(e.type, (TensorType, TupleType)):
                    yield e
            case Call():
                raise EncodeError(
                    f"{binding.var.name} nests a call in an opaque call; bind it first"
                )
            case _:
                pass


def _has_arithmetic(ty: Type) -> bool:
    """Say whether the laws of arithmetic hold for values of a type.

    float8_e8m0fnu is for scales: it has neither zero nor negative numbers, so not even -(-x) is x.
    """
    match ty:
        case TensorType(dtype=dtype):
            return dtype != "float8_e8m0fnu"
        case TupleType(fields):
            return all(map(_has_arithmetic, fields))
        case _:
            return True


def _is_pure(call: Call) -> bool:
    match call.op:
        case OpDef():
            return call.op.is_pure
        case GlobalVar(type=CallableType() as ty) | ExternFunc(type=CallableType() as ty):
            return ty.is_pure
        case _:
            return False


def _classes(given: Sequence[object]) -> Iterator[int]:
    for operand in given:
        if isinstance(operand, list):
            yield from operand
        elif isinstance(operand, int):
            yield operand
