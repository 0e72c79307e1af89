"""Functions as instructions of the virtual machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from eqsat.ir import (
    CALL_OPS,
    Binding,
    Call,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    NullValue,
    ObjectType,
    OpDef,
    PrimFunc,
    PrimType,
    SeqExpr,
    ShapeType,
    TupleType,
    Type,
    Var,
    fits,
    free_variables,
    result_of_call,
    stated_requirements,
    type_symbols,
)
from eqsat.lowering._errors import LoweringError
from eqsat.lowering._kernel import LoweredKernel
from eqsat.lowering._lower import lower_module
from eqsat.lowering._native_ops import is_native_part
from eqsat.lowering._program import NativeProgram
from eqsat.lowering._structure import structural_key
from eqsat.lowering._target import Target
from eqsat.lowering._vm_calls import call_extern, call_value, foreign_call
from eqsat.lowering._vm_code import Code, Value, is_checkable
from eqsat.lowering._vm_liveness import with_deaths
from eqsat.lowering._vm_program import (
    Branch,
    CallFunction,
    CallValue,
    Check,
    DefineSymbol,
    Forget,
    HostOperation,
    Jump,
    MakeClosure,
    Move,
    Parameter,
    Require,
    Return,
    RunPart,
    VmFunction,
    VmProgram,
)
from eqsat.shapes import Equal, Facts, Proof, symbols

HostOperations = Literal["allow", "forbid"]

_DIM = PrimType("int64")


def lower_vm(
    module: IRModule,
    entries: Sequence[str],
    *,
    target: Target,
    facts: Facts,
    host_operations: HostOperations = "allow",
) -> VmProgram:
    """Return the program of the functions `entries` and of all that they call.

    `module` is outlined: native code stands in parts.

    Raises:
        LoweringError: a call has no meaning at run time, or runs on the host where that is
            forbidden.
    """
    return _Program(module, target, facts, host_operations).run(entries)


@dataclass(eq=False)
class _Program:
    module: IRModule
    target: Target
    facts: Facts
    host_operations: HostOperations
    functions: dict[str, VmFunction] = field(default_factory=dict[str, VmFunction])
    parts: list[NativeProgram] = field(default_factory=list[NativeProgram])

    def __post_init__(self) -> None:
        self._kernels: dict[object, LoweredKernel] = {}
        self._part_numbers: dict[object, int] = {}
        self._waiting: list[str] = []
        self._on_host: dict[str, None] = {}

    def run(self, entries: Sequence[str]) -> VmProgram:
        self._waiting = list(reversed(entries))
        while self._waiting:
            name = self._waiting.pop()
            if name not in self.functions:
                _FunctionCode(self, name).lower(self.module.relax_function(name), ())
        if self._on_host and self.host_operations == "forbid":
            raise LoweringError(
                f"{', '.join(self._on_host)}: no native code, and host_operations is 'forbid'; "
                'allow them, annotate missing dtypes (R.Tensor((16,), "float32")), or give values '
                "of unknown shape a type by match_cast"
            )
        return VmProgram(self.functions, tuple(entries), tuple(self.parts))

    def calls(self, name: str) -> None:
        """Note that function `name` is needed."""
        self._waiting.append(name)

    def on_host(self, what: str) -> None:
        """Note what has no native code."""
        self._on_host[what] = None

    def part(self, name: str) -> int:
        """Return the number of a native part."""
        f = self.module.relax_function(name)
        key = structural_key(f)
        if key not in self._part_numbers:
            self._part_numbers[key] = len(self.parts)
            self.parts.append(
                lower_module(
                    self.module,
                    function=name,
                    target=self.target,
                    facts=self.facts,
                    kernels=self._kernels,
                )
            )
        return self._part_numbers[key]

    def free_name(self, base: str) -> str:
        """Return a name for a local function."""
        name, k = base, 1
        while name in self.functions or name in self.module.functions:
            name, k = f"{base}.{k}", k + 1
        return name


class _FunctionCode:
    """The code of one function while it is written."""

    def __init__(self, program: _Program, name: str) -> None:
        self.program, self.name = program, name
        self.module = program.module
        self.code = Code(program.module, name, program.calls, program.on_host)
        self._result: Type = ObjectType()
        self._required: list[Equal] = []

    def lower(
        self,
        f: Function,
        captured: Sequence[Var],
        own: Var | None = None,
        symbols_around: frozenset[str] = frozenset(),
    ) -> None:
        """Write `f` into the program."""
        params = tuple(self._parameter(p) for p in f.params)
        around = tuple(self._parameter_register(v) for v in captured)
        own_register = -1 if own is None else self._parameter_register(own)
        self.code.known |= symbols_around
        self._result = f.ret_type
        self._required = list(stated_requirements(f))
        self._require()
        # Taken before the body: a local function in it must not get this name.
        self.program.functions[self.name] = VmFunction(
            self.name, params, around, own_register, (), 0, (), f.ret_type
        )
        self._body(f.body, None)
        instructions, live = with_deaths(self.code.instructions, frozenset(self.code.constants))
        arguments = {*range(len(params)), *around, *([own_register] if own else [])}
        self.program.functions[self.name] = VmFunction(
            self.name,
            params,
            around,
            own_register,
            tuple(self.code.constants.items()),
            self.code.num_registers,
            instructions,
            f.ret_type,
            tuple(sorted(arguments - live)),
        )

    def _require(self) -> None:
        """Write the requirements whose symbols have values by now."""
        for fact in list(self._required):
            if symbols((fact.a, fact.b)) <= self.code.known:
                self.code.emit(Require(fact.a, fact.b))
                self._required.remove(fact)

    def _parameter(self, p: Var) -> Parameter:
        self._parameter_register(p)
        self.code.known |= type_symbols(p.type)
        if p.type == _DIM:
            self.code.known.add(p.name)
        return Parameter(p.name, p.type)

    def _parameter_register(self, v: Var) -> int:
        r = self.code.values[v] = self.code.new()
        return r

    # --- bodies -----------------------------------------------------------------------------

    def _body(self, s: SeqExpr, result: int | None) -> None:
        """Write a body; its value goes to `result`, or out of the function where that is None."""
        bindings = [b for block in s.blocks for b in block.bindings]
        for k, b in enumerate(bindings):
            self.code.where = b.var.name
            is_last = result is None and k == len(bindings) - 1 and s.result is b.var
            if is_last and isinstance(b.value, If) and not isinstance(b, MatchCast):
                self._if_at_end(b.value)
                return
            if is_last and self._tail_call(b):
                return
            self._binding(b)
        value = self.code.register(s.result)
        if result is not None:
            self.code.emit(Move(value, result))
            return
        if self._needs_check(self._result, s.result.type):
            self.code.where = "the result"
            self.code.emit(Check(value, self._result, f"the result of {self.name}"))
        self.code.emit(Return(value))

    def _binding(self, b: Binding) -> None:
        if isinstance(b, MatchCast):
            r = self.code.register(b.value)
            self.code.emit(Check(r, b.type, b.var.name))
            self.code.known |= type_symbols(b.type)
            self._require()
            self.code.values[b.var] = r
        else:
            self.code.values[b.var] = self._bound_value(b.var, b.value)
            if self._needs_check(b.var.type, b.value.type):
                r = self.code.values[b.var] = self.code.whole(self.code.values[b.var])
                self.code.emit(Check(r, b.var.type, b.var.name))
        if b.var.type == _DIM:
            self.code.emit(DefineSymbol(b.var.name, self.code.whole(self.code.values[b.var])))
            self.code.known.add(b.var.name)

    def _needs_check(self, declared: Type, found: Type) -> bool:
        """Say whether a value must be looked at to know that it is what it is declared to be."""
        if not type_symbols(declared) <= self.code.known or not is_checkable(declared):
            return False
        return fits(declared, found) is not Proof.YES

    def _bound_value(self, var: Var, e: Expr) -> Value:
        match e:
            case Function():
                return self._closure(var, e)
            case If():
                return self._if(e)
            case Call():
                return self._call(var, e)
            case _:
                return self.code.value(e)

    def _closure(self, var: Var, f: Function) -> int:
        around = free_variables(f)
        own = var if var in around else None
        captured = tuple(v for v in around if v is not var)
        name = self.program.free_name(f"{self.name}.{var.name}")
        _FunctionCode(self.program, name).lower(f, captured, own, frozenset(self.code.known))
        r = self.code.new()
        self.code.emit(MakeClosure(name, self.code.registers(captured), r))
        return r

    # --- branches ---------------------------------------------------------------------------

    def _branch(self, e: If) -> tuple[int, set[str]]:
        return self.code.emit(Branch(self.code.register(e.condition), -1)), set(self.code.known)

    def _else_here(self, place: int) -> None:
        branch = self.code.instructions[place]
        assert isinstance(branch, Branch)
        self.code.instructions[place] = replace(branch, otherwise=len(self.code.instructions))

    def _end_here(self, place: int) -> None:
        jump = self.code.instructions[place]
        assert isinstance(jump, Jump)
        self.code.instructions[place] = replace(jump, target=len(self.code.instructions))

    def _if_at_end(self, e: If) -> None:
        place, known = self._branch(e)
        self._body(e.then_branch, None)
        self._else_here(place)
        self.code.known = set(known)
        self._body(e.else_branch, None)
        self.code.known = known

    def _if(self, e: If) -> int:
        where, result = self.code.where, self.code.new()
        place, known = self._branch(e)
        self._body(e.then_branch, result)
        self._leave(known)
        jump = self.code.emit(Jump(-1))
        self._else_here(place)
        self._body(e.else_branch, result)
        self._leave(known)
        self._end_here(jump)
        self.code.where = where
        return result

    def _leave(self, known: set[str]) -> None:
        if gone := tuple(sorted(self.code.known - known)):
            self.code.emit(Forget(gone))
        self.code.known = set(known)

    # --- calls ------------------------------------------------------------------------------

    def _tail_call(self, b: Binding) -> bool:
        """Write `return f(...)` if `b` is the call of a function that needs nothing after it."""
        call = b.value
        if isinstance(b, MatchCast) or not isinstance(call, Call):
            return False
        if self._needs_check(b.var.type, call.type) or self._needs_check(self._result, b.var.type):
            return False
        if isinstance(call.op, GlobalVar):
            target = self.module.functions.get(call.op.name)
            if not isinstance(target, Function) or is_native_part(target):
                return False
            self.code.calls(call.op.name)
            args = self.code.registers(call.args)
            self.code.emit(CallFunction(call.op.name, args, self.code.new(), is_tail=True))
            return True
        if isinstance(call.op, Var) and not is_checkable(call.type):
            callee = self.code.register(call.op)
            args = self.code.registers(call.args)
            self.code.emit(CallValue(callee, args, self.code.new(), is_tail=True))
            return True
        return False

    def _call(self, var: Var, e: Call) -> Value:
        match e.op:
            case OpDef() as op if op.name in CALL_OPS and not op.operands:
                return foreign_call(self.code, op, e, var.name)
            case OpDef() as op:
                return self._host(op, e)
            case GlobalVar(name):
                return self._global_call(name, e, var.name)
            case Var():
                callee = self.code.register(e.op)
                return call_value(self.code, callee, e.args, e.type, var.name)
            case ExternFunc(name):
                return call_extern(self.code, name, e.args, e.type, var.name)

    def _host(self, op: OpDef, e: Call) -> int:
        if op.cannot_run:
            raise self.code.error(
                f"{op.name} has neither native code nor a NumPy meaning: {op.cannot_run}"
            )
        self.code.on_host(f"{op.name} at {self.code.where} of {self.name}")
        padded = (*e.args, *(NullValue(),) * (len(op.operands) - len(e.args)))
        args, r = self.code.registers(padded), self.code.new()
        self.code.emit(HostOperation(op, args, op.fill_attrs(e.attrs), e.type, r))
        if type_symbols(e.type) <= self.code.known:
            self.code.check(r, e.type, f"the result of {op.name}")
        return r

    def _global_call(self, name: str, e: Call, what: str) -> Value:
        if name in self.module.extern_funcs:
            return call_extern(self.code, self.module.extern_funcs[name].name, e.args, e.type, what)
        target = self.module.functions.get(name)
        if target is None or isinstance(target, PrimFunc):
            kind = "a PrimFunc; call it by call_tir" if target else "no function of the module"
            raise self.code.error(f"{name} is {kind}")
        if is_native_part(target):
            return self._run_part(name, target, e)
        self.code.calls(name)
        args, r = self.code.registers(e.args), self.code.new()
        self.code.emit(CallFunction(name, args, r))
        if not _is_result(target, e):
            self.code.check(r, e.type, what)
        return r

    def _run_part(self, name: str, target: Function, e: Call) -> Value:
        number = self.program.part(name)
        given: dict[str, Any] = {}
        args: list[Expr] = []
        for p, a in zip(target.params, e.args, strict=True):
            if not isinstance(p.type, ShapeType):
                args.append(a)
                continue
            dims = a.type.dims if isinstance(a.type, ShapeType) else ()
            assert isinstance(dims, tuple)
            assert isinstance(p.type.dims, tuple)
            given |= {str(s): d for s, d in zip(p.type.dims, dims, strict=True)}
        types = e.type.fields if isinstance(e.type, TupleType) else (e.type,)
        results = tuple([self.code.new() for _ in types])
        names = self.program.parts[number].given
        self.code.emit(
            RunPart(number, self.code.registers(args), results, tuple((s, given[s]) for s in names))
        )
        return results if isinstance(e.type, TupleType) else results[0]


def _is_result(target: Function, e: Call) -> bool:
    """Say whether the type of the call follows from the function's own."""
    types = [a.type for a in e.args]
    params = [p.type for p in target.params]
    found = result_of_call(params, target.ret_type, types, target.name)
    return fits(e.type, found) is Proof.YES
