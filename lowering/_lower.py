"""A module of kernels → a straight-line native program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eqsat.ir import (
    Call,
    Constant,
    Expr,
    Function,
    GlobalVar,
    IRModule,
    MatchCast,
    NullValue,
    OpDef,
    ShapeExpr,
    ShapeType,
    TensorType,
    Tuple,
    TupleGetItem,
    TupleType,
    UnknownShape,
    Var,
    size_requirements,
    unproved,
)
from eqsat.ir.tir import Buffer, IntImm
from eqsat.lowering._copy import copy_kernel
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._grouping import group_single_ops
from eqsat.lowering._kernel import Arg, KernelLaunch, LoweredKernel, lower_kernel
from eqsat.lowering._memory_plan import Lifetime, plan_memory
from eqsat.lowering._primfuncs import PrimCall, prim_call, raise_prim_calls
from eqsat.lowering._program import Launch, NativeProgram, Slot, SlotKind
from eqsat.lowering._structure import structural_key
from eqsat.lowering._target import Target
from eqsat.lowering.schedule._packing import narrowest_dtype
from eqsat.shapes import Dim, Facts, dtype_name, itemsize, product, sym, symbols

# These move no element of a row-major array.
VIEWS = frozenset({"reshape", "squeeze", "expand_dims", "flatten", "nn.batch_flatten"})

_Value = int | tuple["_Value", ...]


@dataclass(slots=True)
class _Draft:
    """A launch with slots that may still turn out to be outputs."""

    launch: KernelLaunch
    slots: list[int]
    label: str


def lower_module(
    module: IRModule,
    *,
    function: str = "main",
    target: Target,
    facts: Facts | None = None,
    kernels: dict[object, LoweredKernel] | None = None,
) -> NativeProgram:
    """Return the native program of `function`.

    Operator calls outside of kernels become kernels of their own first. `kernels` holds those that
    are lowered already, and gets the others.

    Raises:
        LoweringError: something is not a call of tensors, or an operator has no loop-level meaning.
    """
    facts = facts or Facts()
    if not isinstance(module.functions.get(function), Function):
        listed = ", ".join(module.functions) or "none"
        raise LoweringError(
            f"the module has no Relax function {function}; its functions are: {listed}"
        )
    for fact in size_requirements(module, function):  # checked at entry: kernels rely on them
        facts = facts.with_equal(fact.a, fact.b)
    module = group_single_ops(raise_prim_calls(module, function), function)
    return _Lowering(module, function, target, facts, {} if kernels is None else kernels).run()


class _Lowering:
    def __init__(
        self,
        module: IRModule,
        name: str,
        target: Target,
        facts: Facts,
        kernels: dict[object, LoweredKernel],
    ) -> None:
        self.module = module
        self.main = module.relax_function(name)
        self.target = target
        self.facts = facts
        self.slots: list[Slot] = []
        self.drafts: list[_Draft] = []
        self.env: dict[Var, _Value] = {}
        self.constants: dict[int, int] = {}
        self.kernels = kernels
        self.packed: dict[object, int] = {}
        self.narrowest: dict[int, str] = {}
        self.keep: list[object] = []  # what `id` keys refer to stays alive

    def run(self) -> NativeProgram:
        tensors = [p for p in self.main.params if not isinstance(p.type, ShapeType)]
        inputs = [self._input(p) for p in tensors]
        self.env |= zip(tensors, inputs, strict=True)
        given = _given_symbols(self.main)
        self.env |= {p: () for p in self.main.params if p not in self.env}
        for block in self.main.body.blocks:
            for b in block.bindings:
                self.env[b.var] = self.value(b.value)
                if isinstance(b, MatchCast):
                    self._check_cast(b)
        result = self.value(self.main.body.result)
        outputs = [self._output(s) for s in _leaves(result)]
        plan_bytes = self._place(outputs)
        names = symbols(tuple(d for i in inputs for d in self.slots[i].type.dims)) | given
        for slot in self.slots:
            if unbound := symbols(slot.type.dims) - names:
                raise LoweringError(
                    f"{slot.name} in {self.main.name} is {slot.type}, but no input's shape has "
                    f"{', '.join(sorted(unbound))}; native code binds symbols by input shapes only"
                )
        program = NativeProgram(
            self.main.name,
            tuple(self.slots),
            tuple(_launch(d) for d in self.drafts),
            tuple(inputs),
            tuple(outputs),
            tuple(sorted(names)),
            plan_bytes,
            isinstance(result, tuple),
            self.facts,
            tuple(sorted(given)),
        )
        return _without_unused_slots(program)

    # --- values ----------------------------------------------------------------------------

    def _input(self, p: Var) -> int:
        if not isinstance(p.type, TensorType) or isinstance(p.type.shape, UnknownShape):
            raise LoweringError(
                f"parameter {p.name} of {self.main.name} is {p.type}; native code takes tensors of "
                "known shape (symbols allowed), the fields of a tuple one by one"
            )
        return self.slot(p.name, p.type, "input")

    def slot(
        self, name: str, ty: TensorType, kind: SlotKind, value: NDArray[np.generic] | None = None
    ) -> int:
        self.slots.append(Slot(name, ty, kind, value=value))
        return len(self.slots) - 1

    def value(self, e: Expr) -> _Value:
        match e:
            case Var():
                return self.env[e]
            case Constant():
                return self.constant(e.value, e.tensor_type)
            case Tuple(fields):
                return tuple(self.value(f) for f in fields)
            case TupleGetItem(tuple_value, index):
                items = self.value(tuple_value)
                assert isinstance(items, tuple)
                return items[index]
            case Call(GlobalVar() as callee, args):
                return self.call(callee.name, args)
            case Call(OpDef()) if (p := prim_call(self.module, e)) is not None:
                return self.prim_call(p, is_tuple=isinstance(e.type, TupleType))
            case ShapeExpr():  # carries symbols, which kernels know by name
                return ()
            case _:
                raise LoweringError(
                    f"{self.main.name} binds a {type(e).__name__}; native code is made of kernel "
                    "calls, tuples and constants only; compile the pure parts, such as the "
                    "branches of an If, as programs of their own, or run it with eqsat.interpret"
                )

    def constant(self, value: NDArray[np.generic], ty: TensorType) -> int:
        key = id(value)
        if key not in self.constants:
            self.keep.append(value)
            self.constants[key] = self.slot(
                f"constant{len(self.constants)}", ty, "constant", np.ascontiguousarray(value)
            )
        return self.constants[key]

    def _check_cast(self, b: MatchCast) -> None:
        bound = {
            n
            for p in self.main.params
            if isinstance(p.type, TensorType)
            for n in symbols(p.type.dims)
        } | _given_symbols(self.main)
        if isinstance(b.type, TensorType) and not symbols(b.type.dims) <= bound:
            raise LoweringError(
                f"match_cast of {b.var.name} to {b.type} defines a new symbol; native code binds "
                "symbols by input shapes only; declare the shape on the inputs instead"
            )

    def prim_call(self, p: PrimCall, *, is_tuple: bool) -> _Value:
        """Run a PrimFunc as it is written."""
        name = p.func.name
        if problem := unproved(p.func):
            raise LoweringError(
                f"{self.main.name} calls {name}, which is not checked where it runs: {problem}; "
                "compile the module with eqsat.compile, or run it with eqsat.interpret"
            )
        args = [s for t in p.tensors for s in _leaves(self.value(t))]
        results: list[int] = []
        for k, (ty, index) in enumerate(zip(p.outputs, p.inplace, strict=True)):
            if index < 0:
                results.append(self.slot(f"{name}_out{k or ''}", ty, "workspace"))
                continue
            own = self.slot(f"{name}_own{k or ''}", ty, "workspace")
            self.drafts.append(_Draft(copy_kernel(ty, self.target), [args[index], own], "copy"))
            args[index] = own
            results.append(own)
        fresh = [s for s, index in zip(results, p.inplace, strict=True) if index < 0]
        slots = [*args, *fresh]
        num_bytes: Dim = 0
        for s in slots:
            ty = self.slots[s].type
            num_bytes = num_bytes + product(ty.dims) * itemsize(ty.dtype)
        launch = KernelLaunch(
            p.func, tuple(Arg("param", k) for k in range(len(slots))), (), (), "as written", (), 0,
            num_bytes,
        )  # fmt: skip
        self.drafts.append(_Draft(launch, slots, f"call_tir {name}"))
        return tuple(results) if is_tuple else results[0]

    # --- kernels ---------------------------------------------------------------------------

    def call(self, name: str, args: Sequence[Expr]) -> _Value:
        function = self.module.functions.get(name)
        if not isinstance(function, Function):
            raise LoweringError(
                f"{self.main.name} calls {name}, which is no Relax function of the module; its "
                f"functions are: {', '.join(self.module.functions)}"
            )
        tensors = tuple(p for p in function.params if not isinstance(p.type, ShapeType))
        function = replace(function, params=tensors)
        values = [self.value(a) for a in args]
        slots = [s for v in values for s in _leaves(v)]
        if len(slots) != len(function.params):
            raise LoweringError(f"{name} takes {len(function.params)} tensors, got {len(slots)}")
        if _is_view(function):
            return self.alias(slots[0], function)
        constants = {k: self._kept_dtype(s) for k, s in enumerate(slots) if self._is_constant(s)}
        kernel = self.lowered(function, constants)
        return self.emit(kernel, slots, function)

    def _is_constant(self, s: int) -> bool:
        return self.slots[s].kind == "constant"

    def _kept_dtype(self, s: int) -> str:
        value = self.slots[s].value
        assert value is not None
        if s not in self.narrowest:
            self.narrowest[s] = narrowest_dtype(value)
        return self.narrowest[s]

    def lowered(self, function: Function, constants: Mapping[int, str]) -> LoweredKernel:
        key = (structural_key(function), tuple(constants.items()))
        if key not in self.kernels:
            self.kernels[key] = lower_kernel(function, constants, self.target)
        return self.kernels[key]

    def emit(self, kernel: LoweredKernel, args: Sequence[int], function: Function) -> _Value:
        base = function.name
        outputs = [
            self.slot(f"{base}_out{k or ''}", ty, "workspace")
            for k, ty in enumerate(kernel.outputs)
        ]
        temps = [self.slot(f"{base}_tmp{k}", ty, "workspace") for k, ty in enumerate(kernel.temps)]
        lifted = [
            self.constant(v, TensorType(tuple(v.shape), dtype_name(v.dtype))) for v in kernel.lifted
        ]

        def bound(a: Arg, launch: KernelLaunch) -> int:
            match a.kind:
                case "param":
                    return args[a.index]
                case "lifted":
                    return lifted[a.index]
                case "output":
                    return outputs[a.index]
                case "temp":
                    return temps[a.index]
                case "packed":
                    sources = [bound(x, launch) for x in launch.sources[a.index]]
                    return self.pack(launch, a.index, sources)

        for launch in kernel.launches:
            if any(d == 0 for d in _output_type(launch, kernel).dims):
                continue
            slots = [bound(a, launch) for a in launch.args]
            self.drafts.append(_Draft(launch, slots, kernel.label))
        is_tuple = not isinstance(function.body.result.type, TensorType)
        return tuple(outputs) if is_tuple else outputs[0]

    def pack(self, launch: KernelLaunch, index: int, sources: Sequence[int]) -> int:
        packing = launch.packings[index]
        key = (id(packing), *sources)
        if key not in self.packed:
            self.keep.append(packing)
            arrays: dict[Buffer, NDArray[np.generic]] = {}
            for buffer, s in zip(packing.sources, sources, strict=True):
                value = self.slots[s].value
                assert value is not None
                arrays[buffer] = value.reshape(_static_shape(buffer))
            packed = packing(arrays)
            name = f"{self.slots[sources[0]].name}_packed"
            ty = TensorType(tuple(packed.shape), packing.buffer.dtype)
            self.packed[key] = self.slot(name, ty, "constant", packed)
        return self.packed[key]

    def alias(self, source: int, function: Function) -> int:
        ty = function.body.result.type
        assert isinstance(ty, TensorType)
        value = self.slots[source].value
        if value is not None and not symbols(ty.dims):
            shape = tuple(d for d in ty.dims if isinstance(d, int))
            return self.slot(f"{function.name}_view", ty, "constant", value.reshape(shape))
        self.slots.append(Slot(f"{function.name}_view", ty, "workspace", alias_of=source))
        return len(self.slots) - 1

    # --- outputs and memory ----------------------------------------------------------------

    def root(self, s: int) -> int:
        while (target := self.slots[s].alias_of) is not None:
            s = target
        return s

    def _output(self, s: int) -> int:
        slot = self.slots[s]
        if slot.kind in ("input", "constant", "output"):
            return s
        root = self.root(s)
        if root == s:
            self.slots[s] = replace(slot, kind="output")
            return s
        if self.slots[root].kind == "workspace":
            # The output owns the memory; what computed it writes there.
            self.slots[s] = replace(slot, kind="output", alias_of=None)
            self.slots[root] = replace(self.slots[root], alias_of=s)
            return s
        return self._copy(s)

    def _copy(self, s: int) -> int:
        """Return an output slot with a copy of slot `s`, whose memory belongs to someone else."""
        slot = self.slots[s]
        out = self.slot(f"{slot.name}_copy", slot.type, "output")
        launch = copy_kernel(slot.type, self.target)
        self.drafts.append(_Draft(launch, [s, out], "copy"))
        return out

    def _place(self, outputs: Sequence[int]) -> Dim:
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for k, d in enumerate(self.drafts):
            for s in d.slots:
                root = self.root(s)
                first.setdefault(root, k)
                last[root] = k
        lifetimes = {
            s: Lifetime(product(slot.type.dims) * itemsize(slot.type.dtype), first[s], last[s])
            for s, slot in enumerate(self.slots)
            if slot.kind == "workspace" and slot.alias_of is None and s in first
        }
        plan = plan_memory(lifetimes, self.facts)
        for s, offset in plan.offsets.items():
            self.slots[s] = replace(self.slots[s], offset_bytes=offset)
        return plan.num_bytes


def _given_symbols(function: Function) -> frozenset[str]:
    """Return the symbols that the caller passes, as the dims of shapes."""
    found: set[str] = set()
    for p in function.params:
        if not isinstance(p.type, ShapeType):
            continue
        dims = () if isinstance(p.type.dims, UnknownShape) else p.type.dims
        if not all(d == sym(s) for d in dims for s in symbols(d)):
            raise LoweringError(
                f"parameter {p.name} of {function.name} is {p.type}; native code takes shapes of "
                "plain symbols"
            )
        found |= symbols(dims)
    return frozenset(found)


def _launch(d: _Draft) -> Launch:
    k = d.launch
    return Launch(k.func, tuple(d.slots), d.label, k.template, k.flops, k.bytes_moved)


def _without_unused_slots(p: NativeProgram) -> NativeProgram:
    """Drop slots that nothing touches, weights that are only read packed first of all."""
    used = {*p.inputs, *p.outputs, *(s for launch in p.launches for s in launch.slots)}
    for s in tuple(used):
        while (target := p.slots[s].alias_of) is not None:
            s = target
            used.add(s)
    number = {old: new for new, old in enumerate(sorted(used))}

    def moved(slot: Slot) -> Slot:
        return slot if slot.alias_of is None else replace(slot, alias_of=number[slot.alias_of])

    return replace(
        p,
        slots=tuple(moved(p.slots[s]) for s in number),
        launches=tuple(
            replace(launch, slots=tuple(number[s] for s in launch.slots)) for launch in p.launches
        ),
        inputs=tuple(number[s] for s in p.inputs),
        outputs=tuple(number[s] for s in p.outputs),
    )


def _leaves(value: _Value) -> list[int]:
    return [value] if isinstance(value, int) else [s for v in value for s in _leaves(v)]


def _output_type(launch: KernelLaunch, kernel: LoweredKernel) -> TensorType:
    for a in launch.args:
        if a.kind == "output":
            return kernel.outputs[a.index]
    temps = [a for a in launch.args if a.kind == "temp"]
    return kernel.temps[temps[-1].index]


def _static_shape(buffer: Buffer) -> tuple[int, ...]:
    return tuple(d.value for d in buffer.shape if isinstance(d, IntImm))


def _is_view(function: Function) -> bool:
    """Say whether the function only renames the axes of its one parameter."""
    if len(function.params) != 1:
        return False
    current: Expr = function.params[0]
    for block in function.body.blocks:
        for b in block.bindings:
            value = b.value
            if not isinstance(value, Call) or not isinstance(value.op, OpDef):
                return False
            if value.op.name not in VIEWS or value.args[0] is not current:
                return False
            if not all(isinstance(a, (ShapeExpr, NullValue)) for a in value.args[1:]):
                return False
            current = b.var
    return function.body.result is current and current is not function.params[0]
