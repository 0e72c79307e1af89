"""Calls of private functions inlined, functions specialised, what nobody calls dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace

import numpy as np

from eqsat.ir import (
    Call,
    Constant,
    Copier,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    Inlined,
    IRModule,
    LocalFunction,
    MatchCast,
    OpDef,
    OperandKind,
    PrimFunc,
    PrimType,
    PrimValue,
    SeqExpr,
    TensorType,
    Tuple,
    TupleGetItem,
    Var,
    attr_symbols,
    bind_symbols,
    fits,
    free_variables,
    is_known,
    run_operator,
    substitute_type,
    symbols_read,
    type_symbols,
)
from eqsat.shapes import Dim, Proof, sym

# A function of at most so many bindings is inlined wherever it is called; a larger one where it is
# called once.
SMALL = 16
# Specialising one function may show constants to the next.
_ROUNDS = 4
# Marks of kernels and groups, ours and those of TVM: the body says all.
_OWN_ATTRS = frozenset({"primitive", "Primitive", "template", "part"})


def simplified(module: IRModule, roots: Set[str]) -> IRModule:
    """Return `module` with fewer calls, as far as that is sure to gain.

    Private functions and local ones are inlined where they are small or called once; a parameter
    of a private one that is the same constant at every call is replaced by it, and what that
    decides (conditions, scalar operators) is computed; what was computed before a branch is read in
    it; private functions that nothing calls are dropped.

    Args:
        module: any module.
        roots: the functions that stay because they are called from outside.
    """
    if not any(_has_choices(module, f) for f in module.functions.values()):
        return _without_dead(module, roots)
    for _ in range(_ROUNDS):
        module = _without_dead(_inlined(module, roots), roots)
        module, changed = _specialised(module, roots)
        if not changed:
            break
    return _without_dead(module, roots)


def _has_choices(module: IRModule, f: Function | PrimFunc) -> bool:
    """Say whether a body is more than straight-line code: only then it is written anew."""
    if not isinstance(f, Function):
        return False
    return any(
        isinstance(e, (If, Function))
        or (isinstance(e, Call) and isinstance(e.op, GlobalVar) and e.op.name in module.functions)
        for e in _expressions(f.body)
    )


def _overwrites(f: Function | PrimFunc) -> bool:
    """Say whether a call in the body may write to what it is given."""
    return isinstance(f, Function) and any(
        isinstance(e, Call)
        and (isinstance(e.op, ExternFunc) or (isinstance(e.op, OpDef) and _may_write(e.op)))
        for e in _expressions(f.body)
    )


def _may_write(op: OpDef) -> bool:
    return "inplace" in op.name or not (op.is_pure or op.name in ("print", "assert_op"))


# --- inlining -------------------------------------------------------------------------------


def _inlined(module: IRModule, roots: Set[str]) -> IRModule:
    graph = _CallGraph.of(module)
    inliner = _Inliner(module, graph, roots)
    shares = not any(_overwrites(f) for f in module.functions.values())
    functions: dict[str, Function | PrimFunc] = dict(module.functions)
    for name in graph.callees_first():
        f = module.functions[name]
        assert isinstance(f, Function)
        copier = Copier(
            replace=inliner.replacement, replace_local=inliner.local_replacement, shares=shares
        )
        functions[name] = inliner.simplified[name] = copier.function(f)
    return replace(module, functions=functions)


@dataclass(eq=False)
class _Inliner:
    module: IRModule
    graph: _CallGraph
    roots: Set[str]
    simplified: dict[str, Function] = field(default_factory=dict[str, Function])
    _fresh: int = 0

    def __post_init__(self) -> None:
        relax = [f for f in self.module.functions.values() if isinstance(f, Function)]
        self._local_uses = Counter(v for f in relax for v in _read_everywhere(f.body))

    def replacement(self, call: Call) -> Inlined | Constant | None:
        """Return what stands for a call, None where it stays."""
        if isinstance(call.op, OpDef):
            return _folded(call.op, call)
        if not isinstance(call.op, GlobalVar):
            return None
        name = call.op.name
        f = self.simplified.get(name)  # without those that a call of leads back to
        if f is None or not self._is_worth_it(name, f):
            return None
        return self._bound(f, call.args)

    def local_replacement(self, call: Call, local: LocalFunction) -> Inlined | None:
        """Return the body that stands for the call of a local function, None where it stays.

        Its symbols are those around it, so each must mean the same at the call.
        """
        f = local.function
        is_small = self._local_uses[local.origin] == 1 or _num_bindings(f.body) <= SMALL
        is_recursive = local.var in free_variables(f)
        if is_recursive or not is_small or set(f.attrs) - _OWN_ATTRS or _defines_symbols(f):
            return None
        types, given = [p.type for p in f.params], [a.type for a in call.args]
        if len(types) != len(given):
            return None
        if any(fits(t, a) is not Proof.YES for t, a in zip(types, given, strict=True)):
            return None
        return Inlined(f.body, dict(zip(f.params, call.args, strict=True)), {})

    def _is_worth_it(self, name: str, f: Function) -> bool:
        if not f.is_private or name in self.roots or set(f.attrs) - _OWN_ATTRS:
            return False
        if name in self.graph.recursive:
            return False
        return self.graph.sites[name] == 1 or _num_bindings(f.body) <= SMALL

    def _bound(self, f: Function, args: tuple[Expr, ...]) -> Inlined | None:
        """Return the body with its parameters bound; None where a type would not be checked."""
        if len(args) != len(f.params):
            return None
        types = [p.type for p in f.params]
        dims: dict[str, Dim] = bind_symbols(types, [a.type for a in args])
        for p, a in zip(f.params, args, strict=True):
            if p.type == PrimType("int64"):
                value = _dim_of(a)
                if value is None:
                    return None
                dims[p.name] = value
        if any(type_symbols(t) - dims.keys() for t in types):
            return None
        for t, a in zip(types, args, strict=True):
            if fits(substitute_type(t, dims), a.type) is not Proof.YES:
                return None
        for s in sorted(_symbols_inside(f.body) - dims.keys()):
            self._fresh += 1
            dims[s] = sym(f"{s}_{self._fresh}")
        return Inlined(f.body, dict(zip(f.params, args, strict=True)), dims)


def _dim_of(e: Expr) -> Dim | None:
    match e:
        case PrimValue(value) if not isinstance(value, float):
            return value
        case Var(name):
            return sym(name)
        case _:
            return None


def _folded(op: OpDef, call: Call) -> Constant | None:
    """Return the value of an operator of scalar constants: conditions follow from it."""
    ty = call.type
    if not isinstance(ty, TensorType) or ty.ndim != 0 or not is_known(ty) or not op.is_pure:
        return None
    if not op.operands or any(o.kind is not OperandKind.TENSOR for o in op.operands):
        return None
    if not all(isinstance(a, Constant) and a.value.ndim == 0 for a in call.args):
        return None
    if any(attr_symbols(v) for v in call.attrs.values()):
        return None
    values = [a.value for a in call.args if isinstance(a, Constant)]
    return Constant(np.asarray(run_operator(op, values, call.attrs, ty, {})), call.span)


# --- constants in parameters ----------------------------------------------------------------


def _specialised(module: IRModule, roots: Set[str]) -> tuple[IRModule, bool]:
    """Replace parameters that are one constant at every call; say whether there were any."""
    graph = _CallGraph.of(module)
    functions: dict[str, Function | PrimFunc] = dict(module.functions)
    changed = False
    for name, f in module.functions.items():
        if not isinstance(f, Function) or not f.is_private or name in roots or name in graph.taken:
            continue
        if f.attrs.get("primitive"):
            continue
        constants = _constant_parameters(f, graph.calls[name])
        if constants:
            changed = True
            values: dict[Var, Expr] = {f.params[k]: c for k, c in constants.items()}
            params = tuple(p for k, p in enumerate(f.params) if k not in constants)
            for call in graph.calls[name]:
                kept = [a for k, a in enumerate(call.args) if k not in constants]
                call.args = tuple(kept)
            functions[name] = Copier(values).function(replace(f, params=params))
    return replace(module, functions=functions), changed


def _constant_parameters(f: Function, calls: list[Call]) -> dict[int, Constant]:
    found: dict[int, Constant] = {}
    for k, p in enumerate(f.params):
        # A call from within that passes the parameter on says nothing new.
        given = [c.args[k] for c in calls if len(c.args) == len(f.params) and c.args[k] is not p]
        first = given[0] if given else None
        if isinstance(first, Constant) and all(_is_same(first, g) for g in given[1:]):
            found[k] = first
    return found


def _is_same(a: Constant, b: Expr) -> bool:
    if not isinstance(b, Constant) or a.type != b.type:
        return False
    return a.value is b.value or a.value.tobytes() == b.value.tobytes()


# --- the call graph -------------------------------------------------------------------------


@dataclass(eq=False)
class _CallGraph:
    """Who calls whom.

    Attributes:
        calls: the calls of each function by name; `sites` counts them.
        callees: the functions that a function calls or passes on.
        taken: functions that stand as values or are called by operators.
        recursive: functions that lead back to themselves.
    """

    calls: dict[str, list[Call]]
    callees: dict[str, set[str]]
    taken: set[str]

    @staticmethod
    def of(module: IRModule) -> _CallGraph:
        names = {n for n, f in module.functions.items() if isinstance(f, Function)}
        calls: dict[str, list[Call]] = {n: [] for n in names}
        callees: dict[str, set[str]] = {n: set() for n in names}
        taken: set[str] = set()
        for name in module.functions:
            f = module.functions[name]
            if not isinstance(f, Function):
                continue
            for e in _expressions(f.body):
                if isinstance(e, Call) and isinstance(e.op, GlobalVar) and e.op.name in names:
                    calls[e.op.name].append(e)
                    callees[name].add(e.op.name)
                elif isinstance(e, GlobalVar) and e.name in names:
                    taken.add(e.name)
                    callees[name].add(e.name)
        return _CallGraph(calls, callees, taken)

    def __post_init__(self) -> None:
        self.sites = Counter({name: len(calls) for name, calls in self.calls.items()})
        for name in self.taken:
            self.sites[name] += 2
        self.recursive = {n for n in self.callees if n in self.reachable(self.callees[n])}

    def reachable(self, names: set[str]) -> set[str]:
        """Return `names` and all that they call."""
        found, stack = set(names), list(names)
        while stack:
            for callee in self.callees[stack.pop()] - found:
                found.add(callee)
                stack.append(callee)
        return found

    def callees_first(self) -> list[str]:
        """Return all functions, each after those that it calls where there is no cycle."""
        done: dict[str, None] = {}
        stack = [(name, False) for name in reversed(list(self.callees))]
        entered: set[str] = set()
        while stack:
            name, is_left = stack.pop()
            if is_left:
                done[name] = None
            elif name not in entered:
                entered.add(name)
                stack.append((name, True))
                stack += [(c, False) for c in sorted(self.callees[name]) if c not in entered]
        return list(done)


def _expressions(e: Expr) -> Iterator[Expr]:  # one case per expression
    """Yield `e` and all in it; the function that a call names is not one of them."""
    yield e
    match e:
        case Tuple(fields):
            for f in fields:
                yield from _expressions(f)
        case TupleGetItem(tuple_value):
            yield from _expressions(tuple_value)
        case Call(_, args):
            for a in args:
                yield from _expressions(a)
        case If(condition, then_branch, else_branch):
            yield from _expressions(condition)
            yield from _expressions(then_branch)
            yield from _expressions(else_branch)
        case SeqExpr(blocks, result):
            for block in blocks:
                for b in block.bindings:
                    yield from _expressions(b.value)
            yield from _expressions(result)
        case Function(body=body):
            yield from _expressions(body)
        case _:
            return


def _read_everywhere(body: SeqExpr) -> Iterator[Var]:
    """Yield the variables that `body` reads or calls, once for each time."""
    for e in _expressions(body):
        if isinstance(e, Var):
            yield e
        elif isinstance(e, Call) and isinstance(e.op, Var):
            yield e.op


def _defines_symbols(f: Function) -> bool:
    """Say whether a name in `f` becomes a size: a scalar variable, or what a match_cast binds."""
    bindings = [
        b
        for e in _expressions(f.body)
        if isinstance(e, SeqExpr)
        for block in e.blocks
        for b in block.bindings
    ]
    scalars = [*f.params, *(b.var for b in bindings)]
    return any(isinstance(b, MatchCast) for b in bindings) or any(
        v.type == PrimType("int64") for v in scalars
    )


def _num_bindings(body: SeqExpr) -> int:
    inner = [e for e in _expressions(body) if isinstance(e, SeqExpr)]
    return sum(len(block.bindings) for s in inner for block in s.blocks)


def _symbols_inside(body: SeqExpr) -> set[str]:
    found: set[str] = set()
    for e in _expressions(body):
        found |= symbols_read(e)
        if isinstance(e, SeqExpr):
            for block in e.blocks:
                for b in block.bindings:
                    found |= type_symbols(b.var.type)
                    if b.var.type == PrimType("int64"):
                        found.add(b.var.name)
    return found


def _without_dead(module: IRModule, roots: Set[str]) -> IRModule:
    graph = _CallGraph.of(module)
    alive = graph.reachable(set(roots) & graph.callees.keys())
    called = {
        e.name for n in alive for e in _expressions(_body(module, n)) if isinstance(e, GlobalVar)
    }
    kept: Mapping[str, Function | PrimFunc] = {
        n: f
        for n, f in module.functions.items()
        if n in alive or n in called or (isinstance(f, PrimFunc) and not f.is_private)
    }
    return replace(module, functions=dict(kept))


def _body(module: IRModule, name: str) -> SeqExpr:
    return module.relax_function(name).body
