"""Functions of the virtual machine as Python source: a register is a local variable.

A function takes the call that it is part of (`_vm.Call`) and the closure that it is the code of,
None for a function of the program's own. It finds its arguments in `call.args` and leaves its value
in `call.value`. To call, it puts the arguments there and yields the function, a name or a closure;
in tail position it leaves that in `call.tail` and ends. So the machine's stack is a list of
generators, and a function that calls nothing but native parts is an ordinary one.

Jumps go forward only: each stretch of code between two targets runs if `at` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

from eqsat.backends._vm_values import ArgumentCheck
from eqsat.ir import (
    UNKNOWN_DTYPE,
    CallableType,
    ObjectType,
    PrimType,
    TensorType,
    Type,
    type_symbols,
)
from eqsat.lowering import VmFunction, VmProgram
from eqsat.lowering.vm import (
    Assert,
    BindArguments,
    Branch,
    CallExtern,
    CallFunction,
    CallValue,
    Check,
    DefineSymbol,
    Forget,
    GetField,
    HostOperation,
    Instruction,
    Jump,
    MakeClosure,
    MakeScalar,
    MakeShape,
    MakeTuple,
    Move,
    Print,
    Registers,
    Render,
    Require,
    Return,
    RunPart,
    RunPrimFunc,
)
from eqsat.shapes import Dim, numpy_dtype


@dataclass(frozen=True, slots=True)
class Place:
    """What a line of source belongs to."""

    function: str
    where: str


@dataclass(slots=True)
class Source:
    """Python source of a program.

    Attributes:
        lines: the text.
        places: for each line the instruction's; None where the caller's is meant.
        names: the values of the names that stand in the text.
        functions: for each function of the program its name in the text.
    """

    lines: list[str] = field(default_factory=list[str])
    places: list[Place | None] = field(default_factory=list["Place | None"])
    names: dict[str, Any] = field(default_factory=dict[str, Any])
    functions: dict[str, str] = field(default_factory=dict[str, str])


def source_of(program: VmProgram) -> Source:
    """Return the source of all functions.

    It uses the names of `_vm._RUNTIME`, and `part0` and so on for the native parts.
    """
    source = Source()
    local = {
        one.function
        for f in program.functions.values()
        for one in f.code
        if isinstance(one, MakeClosure)
    }
    for f in program.functions.values():
        _Writer(program, f, source).write(is_local=f.name in local)
    return source


class _Writer:
    """Writes one function."""

    def __init__(self, program: VmProgram, f: VmFunction, source: Source) -> None:
        self._program, self._f, self._source = program, f, source
        self._name = f"f{len(source.functions)}"
        source.functions[f.name] = self._name
        self._constants = {r: self._named("c", value) for r, value in f.constants}
        self._bools = {k for k, p in enumerate(f.params) if _is_bool(p.type)}
        self._defines_symbols = _defines_symbols(f)
        self._place: Place | None = None
        self._indent = ""

    def _line(self, text: str) -> None:
        self._source.lines.append(self._indent + text)
        self._source.places.append(self._place)

    def _named(self, kind: str, value: Any) -> str:
        """Return a name for a value."""
        name = f"{kind}{len(self._source.names)}"
        self._source.names[name] = value
        return name

    def _register(self, r: int) -> str:
        return self._constants.get(r) or f"r{r}"

    def _tuple(self, registers: Registers) -> str:
        return "(" + "".join(f"{self._register(r)}, " for r in registers) + ")"

    def _own(self, symbols: str) -> str:
        """Return a copy of symbols, where the function gives values to any."""
        return f"dict({symbols})" if self._defines_symbols else symbols

    def _clear(self, dead: Sequence[int]) -> None:
        if dead:
            self._line("".join(f"r{r} = " for r in dead) + "None")

    # --- the start --------------------------------------------------------------------------

    def write(self, *, is_local: bool) -> None:
        """Write the function."""
        f = self._f
        self._line(f"def {self._name}(call, closure):")
        self._indent = "    "
        check = self._named("check", ArgumentCheck(f.name, f.params))
        self._line(f"try: {self._tuple(tuple(range(len(f.params))))} = call.args")
        self._line(f"except ValueError: {check}.refuse(call.args)")
        self._line("call.args = None")
        if f.captured:
            self._line(f"{self._tuple(f.captured)} = closure.captured")
        if f.own >= 0:
            self._line(f"r{f.own} = closure")
        around = "closure.symbols" if is_local else "no_symbols"
        self._line(f"symbols = {self._own(around)}")
        self._check_arguments(check, is_local=is_local)
        self._clear(f.dead_on_entry)
        self._body()

    def _check_arguments(self, check: str, *, is_local: bool) -> None:
        f, is_entry = self._f, self._f.name in self._program.entries
        args = self._tuple(tuple(range(len(f.params))))
        types = {k: p.type for k, p in enumerate(f.params)}
        if not is_entry:
            self._checked(types, f"{check}({args}, symbols)", is_first=not is_local)
            return
        admitted = f"{args} = admitted({check}, {args}, symbols, call)" if args != "()" else "pass"
        self._checked(types, admitted, is_first=not is_local, is_entry=True)
        self._line("call.is_outside = False")

    def _checked(
        self, types: Mapping[int, Type], slowly: str, *, is_first: bool, is_entry: bool = False
    ) -> None:
        """Write a check of registers: by plain comparisons, and `slowly` where these fail."""
        tests = _Tests(self._register, self._named, is_first=is_first, is_entry=is_entry)
        if not all(tests.add(r, ty) for r, ty in types.items()):
            self._line(slowly)
        elif tests.symbols:
            self._line(f"if {' and '.join(tests.terms)}:")
            for name, size in tests.symbols.items():
                self._line(f"    symbols[{name!r}] = {size}")
            self._line(f"else: {slowly}")
        elif tests.terms:
            self._line(f"if not ({' and '.join(tests.terms)}): {slowly}")

    # --- instructions -----------------------------------------------------------------------

    def _body(self) -> None:
        code = self._f.code
        targets = {t for k, one in enumerate(code) for t in _targets(k, one)}
        falls_through = True
        for k, one in enumerate(code):
            self._place = Place(self._f.name, one.where)
            if k in targets:
                if falls_through:
                    self._line(f"at = {k}")
                self._indent = "    "
                self._line(f"if at == {k}:")
                self._indent = "        "
            falls_through = self._instruction(k, one)

    def _instruction(self, k: int, one: Instruction) -> bool:  # one case each
        """Write an instruction; say whether the next one may run after it."""
        match one:
            case Branch(condition, otherwise):
                value = self._register(condition)
                test = value if condition in self._bools else f"truth({value})"
                self._line(f"if {test}:")
                self._line(f"    at = {k + 1}")
                self._nested(one.dead)
                self._line("else:")
                self._line(f"    at = {otherwise}")
                self._nested(one.dead_otherwise)
                return False
            case Jump(target):
                self._line(f"at = {target}")
                return False
            case Return(value):
                self._line(f"call.value = {self._register(value)}")
                self._line("return")
                return False
            case CallFunction(name, args):
                self._arguments(args, one)
                return self._enter(repr(name), one)
            case CallValue(callee, args):
                self._line(f"callee = {self._register(callee)}")
                self._arguments(args, one)
                self._line(
                    "if callee.__class__ is not Closure or callee.machine is not call.machine:"
                )
                self._line("    callee = resolved(callee, call)")
                return self._enter("callee", one)
            case _:
                self._straight(one)
                return True

    def _nested(self, dead: Registers) -> None:
        outer, self._indent = self._indent, self._indent + "    "
        self._clear(dead)
        self._indent = outer

    def _arguments(self, args: Registers, one: Instruction) -> None:
        self._line(f"call.args = {self._tuple(args)}")
        self._clear(one.dead)

    def _enter(self, callee: str, one: CallFunction | CallValue) -> bool:
        """Write the call of a function; `callee` is None where it has been called already."""
        if one.is_tail:
            self._line(f"call.tail = {callee}")
            self._line("return")
            return False
        self._line(
            f"yield {callee}" if callee != "callee" else "if callee is not None: yield callee"
        )
        self._line(f"r{one.result} = call.value")
        self._line("call.value = None" if callee != "callee" else "call.value = callee = None")
        return True

    def _straight(self, one: Instruction) -> None:  # noqa: C901  # one case per instruction
        match one:
            case RunPart():
                self._part(one)
            case GetField(value, index):
                owner = self._register(value)
                test = f"{owner}.__class__ is tuple and len({owner}) > {index}"
                name = self._named("i", one)
                self._line(
                    f"r{one.result} = {owner}[{index}] if {test} else no_field({name}, {owner})"
                )
                self._clear(_without(one.dead, one.result))
            case Move(value):
                self._line(f"r{one.result} = {self._register(value)}")
                self._clear(_without(one.dead, one.result))
            case MakeTuple(args):
                self._line(f"r{one.result} = {self._tuple(args)}")
                self._clear(_without(one.dead, one.result))
            case Check(value, ty, name):
                register = self._register(value)
                slowly = f"check_value({name!r}, {self._named('type', ty)}, {register}, symbols)"
                self._checked({value: ty}, slowly, is_first=False)
                self._clear(one.dead)
            case MakeShape(dims):
                self._line(f"r{one.result} = ({''.join(f'{self._dim(d)}, ' for d in dims)})")
            case MakeScalar(dim):
                value = f"bool({self._dim(dim)})" if one.is_condition else self._dim(dim)
                self._line(f"r{one.result} = {value}")
            case Require():
                self._line(f"require({self._named('i', one)}, symbols)")
            case DefineSymbol(name, value):
                self._line(f"symbols[{name!r}] = int({self._register(value)})")
                self._clear(one.dead)
            case Forget(names):
                self._line(f"forget({names!r}, symbols)")
            case MakeClosure(name, args):
                captured = self._tuple(args)
                closure = f"Closure(call.machine, {name!r}, {captured}, {self._own('symbols')})"
                self._line(f"r{one.result} = {closure}")
                self._clear(_without(one.dead, one.result))
            case (
                HostOperation(args=args)
                | RunPrimFunc(args=args)
                | CallExtern(args=args)
                | Print(args=args)
                | Assert(args=args)
                | Render(args=args)
            ):
                self._outside(one, args, one.result)
            case BindArguments(callee, args):
                self._outside(one, (callee, *args), one.result)
            case Branch() | Jump() | Return() | CallFunction() | CallValue():
                raise AssertionError(one)
            case _:
                assert_never(one)

    def _part(self, one: RunPart) -> None:
        program = self._program.parts[one.part]
        args = [self._register(r) for r in one.args] + [self._dim(d) for _, d in one.given]
        results = self._tuple(one.results) if program.is_tuple else f"r{one.results[0]}"
        self._line(f"{results} = part{one.part}({', '.join(args)})")
        for r, slot in zip(one.results, program.outputs, strict=True):
            if _is_bool(program.slots[slot].type):
                self._bools.add(r)
        self._clear(one.dead)

    def _outside(self, one: Instruction, args: Registers, result: int) -> None:
        """Write an instruction that gets a list which alone refers to values that die."""
        self._line(f"values = [{', '.join(map(self._register, args))}]")
        self._clear(one.dead)
        self._line(f"r{result} = outside({self._named('i', one)}, values, symbols, call)")
        self._line("values = None")

    def _dim(self, d: Dim) -> str:
        if isinstance(d, int):
            return str(d)
        name = str(d)
        return (
            f"symbols[{name!r}]"
            if name in d.symbols
            else f"evaluate({self._named('d', d)}, symbols)"
        )


class _Tests:
    """Comparisons that are true of values that fit their types; false says nothing.

    `is_first` where no symbol has a value yet, `is_entry` for values that may come from outside.

    Attributes:
        terms: the comparisons, in order.
        symbols: the sizes that symbols get, if all are true.
    """

    def __init__(
        self,
        register: Callable[[int], str],
        named: Callable[[str, Any], str],
        *,
        is_first: bool,
        is_entry: bool,
    ) -> None:
        self._register, self._named = register, named
        self._is_first, self._is_entry = is_first, is_entry
        self.terms: list[str] = []
        self.symbols: dict[str, str] = {}

    def add(self, r: int, ty: Type) -> bool:
        """Add those of one register; return False for a type that takes more than comparisons."""
        match ty:
            case ObjectType() | CallableType():
                return not self._is_entry  # what comes from outside may have to be converted
            case TensorType(shape=tuple() as shape) if ty.dtype != UNKNOWN_DTYPE:
                names = [_plain(d) for d in shape]
                if None in names:
                    return False
                self._tensor(self._register(r), ty.dtype, [n for n in names if n is not None])
                return True
            case _:
                return False

    def _tensor(self, value: str, dtype: str, dims: Sequence[int | str]) -> None:
        self.terms += [
            f"{value}.__class__ is ndarray",
            f"{value}.dtype is {self._named('dtype', numpy_dtype(dtype))}",
        ]
        if not any(isinstance(d, str) for d in dims):
            self.terms.append(f"{value}.shape == {tuple(dims)}" if dims else f"{value}.ndim == 0")
            return
        sizes = f"{value}_sizes"
        self.terms.append(f"len({sizes} := {value}.shape) == {len(dims)}")
        for axis, d in enumerate(dims):
            size = f"{sizes}[{axis}]"
            if isinstance(d, int):
                self.terms.append(f"{size} == {d}")
            elif d in self.symbols:
                self.terms.append(f"{size} == {self.symbols[d]}")
            else:
                self.symbols[d] = size
                if not self._is_first:
                    self.terms.append(f"symbols.get({d!r}, {size}) == {size}")


def _plain(d: Dim) -> int | str | None:
    """Return a dim that is a number or one symbol."""
    if isinstance(d, int):
        return d
    return str(d) if str(d) in d.symbols else None


def _defines_symbols(f: VmFunction) -> bool:
    if any(isinstance(p.type, PrimType) or type_symbols(p.type) for p in f.params):
        return True
    return any(
        isinstance(one, (DefineSymbol, Forget))
        or (isinstance(one, Check) and bool(type_symbols(one.type)))
        for one in f.code
    )


def _is_bool(ty: Type) -> bool:
    return isinstance(ty, TensorType) and ty.dtype == "bool" and ty.shape == ()


def _targets(k: int, one: Instruction) -> Registers:
    match one:
        case Branch(otherwise=otherwise):
            return (k + 1, otherwise)
        case Jump(target):
            return (target,)
        case _:
            return ()


def _without(dead: Registers, result: int) -> list[int]:
    return [r for r in dead if r != result]
