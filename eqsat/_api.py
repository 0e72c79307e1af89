"""The public calls: import, optimize, compile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eqsat._collection import paused_collection
from eqsat._report import PhaseTime, Report, RuleGain
from eqsat.backends import (
    EntryPoint,
    Executable,
    NativeProbe,
    OpenEntryPoint,
    available_cpus,
    compile_program,
    compile_vm,
    host_target,
)
from eqsat.extract import DeviceProfile, load_profile
from eqsat.ir import (
    Function,
    IRModule,
    Type,
    has_unknown_dtype,
    interpret,
    require_one_device,
    type_symbols,
    with_argument_types,
)
from eqsat.ir.frontend import from_onnx, from_tvm, to_tvm
from eqsat.ir.script import from_tvmscript, print_module
from eqsat.lowering import Target as LoweringTarget
from eqsat.lowering import guard_prim_calls, is_straight_line, lower_module, lower_vm, outline
from eqsat.rules import ALL_RULE_SETS, RuleSet, Sketch, load_rules, load_sketches
from eqsat.shapes import EqsatError, Facts

if TYPE_CHECKING:
    from eqsat._explanation import Explanation
    from eqsat._saturate import Limits
    from eqsat._search import Searches
    from eqsat.backends import VmExecutable
    from eqsat.lowering import HostOperations

Progress = Callable[[str, float], None]
"""progress(what, fraction): called while long work goes on, fraction from 0 to 1."""

Target = Literal["cpu"]

_FACTS = Facts(positive=False)  # a size may be 0: an empty batch, a cache before its first token


def default_rules() -> tuple[RuleSet, ...]:
    """Return the rule sets that `optimize` uses: `default_rules() + (mine,)` adds your own."""
    return ALL_RULE_SETS


@dataclass(eq=False)
class OptimizeResult:
    """What `optimize` found.

    Attributes:
        module: the best program, as kernels: private functions called from the others.
        report: counts, estimates, the proven gap and the time of each phase.
        source: the program that was given.
        search: the saturated e-graphs and what was chosen of them; for tools, it may change.
    """

    module: IRModule
    report: Report
    source: IRModule
    search: Searches = field(repr=False)

    def variants(self, k: int) -> list[IRModule]:
        """Return up to `k` structurally different programs, the cheapest first by estimate."""
        return self.search.variants(k)

    def explain(self, progress: Progress | None = None) -> Explanation:
        """Return how the program given became this one: a chain of programs, a rule each.

        The search is repeated and recorded; printing the explanation also takes an estimate of each
        program.

        Raises:
            ExplainError: the search ended by its time limit, and found other programs this time.
        """
        from eqsat._explanation import Explanation

        rules = {r.name: r for s in self.search.settings.rule_sets for r in s.rules}
        return Explanation(self.search, rules, progress or _silent)

    @cached_property
    def rule_gains(self) -> tuple[RuleGain, ...]:
        """The rules in the chosen program with the estimated time lost without each, in seconds."""
        return self.search.gains()

    def as_text(self) -> str:
        """Return the best program as TVMScript."""
        return print_module(self.module)

    def __str__(self) -> str:
        return self.report.as_text()

    def __rich__(self) -> Any:
        return self.report.__rich__()

    def _repr_html_(self) -> str:
        return self.report.as_html()


@paused_collection()
def optimize(
    mod: IRModule,
    target: Target = "cpu",
    *,
    rules: Sequence[RuleSet | str | Path] | None = None,
    sketches: Sequence[Sketch | str | Path] = (),
    limits: Limits | None = None,
    dims: Mapping[str, int] | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> OptimizeResult:
    """Return the best program equal to `mod` that the rules reach within the limits.

    Args:
        mod: a module. Each straight-line part of its functions, branches and local functions
            included, is optimized; private functions are inlined, specialised or dropped.
        target: what the program is to run on.
        rules: rule sets, or paths of files that hold some; `default_rules()` unless given.
        sketches: forms that lead to the best program where the limits end the search before, or
            paths of files that hold some. The search ends as soon as a value of the program can
            have the first form, starts again from the cheapest program with it, and so on.
        limits: bounds on e-nodes, time, iterations and memory of the saturation.
        dims: representative sizes of symbolic dims, for the cost model only.
        num_threads: threads that the cost model reckons with; by default all that there are.
        progress: called while it works.

    Raises:
        EqsatError: there is no public function, a rule is not sound, the target is unknown, a
            sketch is not reached, or the program is for several devices.
    """
    if target != "cpu":
        raise EqsatError(f"unknown target {target!r}; the targets are: cpu")
    report = progress or _silent
    clock = _Clock()
    searches = searched(
        mod,
        rule_sets_of(rules),
        sketches=sketches_of(sketches),
        limits=limits,
        dims=dims,
        num_threads=num_threads,
        progress=report,
        mark=clock.mark,
    )
    module = searches.best()
    clock.mark("decode")
    report("done", 1.0)
    return OptimizeResult(module, searches.report(clock.times()), mod, searches)


def searched(
    mod: IRModule,
    rule_sets: Sequence[RuleSet],
    *,
    sketches: Sequence[Sketch] = (),
    limits: Limits | None = None,
    dims: Mapping[str, int] | None = None,
    num_threads: int | None = None,
    progress: Progress,
    mark: Callable[[str], None],
    whole: bool = False,
) -> Searches:
    """Return the searches of `optimize`; `whole` keeps what no output needs in their snapshots."""
    from eqsat._inline import simplified
    from eqsat._saturate import Limits
    from eqsat._search import Searcher, Settings
    from eqsat.lowering import calls_as_operators

    _check_arguments("optimize", mod, num_threads)
    _check_limits(limits)
    roots = set(_entry_names(mod, None))
    _check_dims(mod, dims or {})

    def profile() -> DeviceProfile:
        return load_profile(num_threads or available_cpus(), NativeProbe())

    settings = Settings(
        rule_sets=tuple(rule_sets),
        facts=_FACTS,
        limits=limits or Limits(),
        dims=dims or {},
        profile=profile,
        whole=whole,
        sketches=tuple(sketches),
    )
    prepared = simplified(calls_as_operators(_named_by_key(mod)), roots)
    mark("inline")
    return Searcher(settings, mark, progress).run(prepared)


@paused_collection()
def compile(
    program: IRModule | OptimizeResult,
    target: Target = "cpu",
    *,
    function: str | None = None,
    num_threads: int | None = None,
    cache: bool | str | Path = True,
    host_operations: HostOperations = "allow",
    progress: Progress | None = None,
) -> Executable | VmExecutable:
    """Return the executable of a module, optimized or not (then every operator is one kernel).

    A program of one straight-line function is native code alone. Around If, calls, functions as
    values and values of unknown shape a virtual machine runs native parts. A function with inputs
    that have no dtype is compiled at the first call with each list of dtypes.

    Args:
        program: what `optimize` returned, or a module.
        target: what it is to run on.
        function: the one function to compile; by default all public ones, each called by name.
        num_threads: threads of one call; all that the process may use by default.
        cache: whether to keep object code on disk, or the folder for it.
        host_operations: "forbid" refuses a program in which something runs by its NumPy reference
            for want of native code; `profile()` lists these operations as "host: ...".
        progress: called while it works.

    Raises:
        LoweringError: something in the program has no meaning at run time, or runs on the host
            where that is forbidden.
        CacheError: the cache folder can't be written.
        TypeCheckError: the program is for several devices.
    """
    if target != "cpu":
        raise EqsatError(f"unknown target {target!r}; the targets are: cpu")
    module = program.module if isinstance(program, OptimizeResult) else program
    _check_arguments("compile", module, num_threads)
    module = _named_by_key(module)
    _check_cache(cache)
    _check_host_operations(host_operations)
    report = progress or _silent
    report("lower", 0.0)
    module = guard_prim_calls(module)
    names = _entry_names(module, function)
    executable = _compiled(module, names, num_threads, cache, host_operations, report)
    report("done", 1.0)
    return executable


def _compiled(
    module: IRModule,
    names: Sequence[str],
    num_threads: int | None,
    cache: bool | str | Path,
    host_operations: HostOperations,
    report: Progress,
) -> Executable | VmExecutable:
    straight = [n for n in names if is_straight_line(module, module.relax_function(n))]
    lowering_target = _lowering_target(num_threads)
    native = {
        n: lower_module(module, function=n, target=lowering_target, facts=_FACTS) for n in straight
    }

    def generating(done: int, total: int) -> None:
        report("generate code", done / max(total, 1))

    if len(names) == 1 and straight:
        return compile_program(
            native[names[0]], num_threads=num_threads, cache=cache, progress=generating
        )

    def compiled_for(name: str, types: Sequence[Type]) -> Executable | EntryPoint:
        typed = with_argument_types(module, name, types)
        made = _compiled(typed, [name], num_threads, cache, host_operations, _silent)
        if isinstance(made, Executable):
            return made
        entry = made[name]
        assert not isinstance(entry, OpenEntryPoint), f"{name} has dtypes that no argument has"
        return entry

    functions = [module.relax_function(n) for n in names]
    opened = {
        f.name: OpenEntryPoint(f, partial(compiled_for, f.name), num_threads or available_cpus())
        for f in functions
        if any(has_unknown_dtype(p.type) for p in f.params)
    }
    return compile_vm(
        lower_vm(
            outline(module),
            # Of one that is compiled when it is called, nothing is known to run on the host.
            [n for n in names if n not in native and n not in opened],
            target=lowering_target,
            facts=_FACTS,
            host_operations=host_operations,
        ),
        native,
        open_entries=opened,
        num_threads=num_threads,
        cache=cache,
        progress=generating,
    )


def _named_by_key(module: IRModule) -> IRModule:
    """Return a module whose functions have the names by which it knows them."""
    named = {
        n: replace(f, name=n) if isinstance(f, Function) and f.name != n else f
        for n, f in module.functions.items()
    }
    return replace(module, functions=named)


def _entry_names(module: IRModule, function: str | None) -> list[str]:
    """Return the functions that can be called from outside: `function`, or all that are public."""
    relax = {n: f for n, f in module.functions.items() if isinstance(f, Function)}
    if function is not None:
        if function not in relax:
            raise EqsatError(
                f"the module has no Relax function {function!r}; it has "
                f"{', '.join(relax) or 'none'}"
            )
        return [function]
    public = [n for n, f in relax.items() if not f.is_private or n == "main"]
    if not public:
        raise EqsatError(
            f"the module has no public function; name one: function=...; it has "
            f"{', '.join(relax) or 'none'}"
        )
    return public


def _check_host_operations(given: object) -> None:
    if given not in ("allow", "forbid"):
        raise EqsatError(f"host_operations is {given!r}; it is 'allow' or 'forbid'")


def _check_arguments(call: str, mod: object, num_threads: object) -> None:
    if not isinstance(mod, IRModule):
        raise EqsatError(
            f"{call} takes a module, got {type(mod).__name__}; read the model first with "
            "eqsat.from_onnx or eqsat.from_tvmscript"
        )
    require_one_device(mod)
    if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
        raise EqsatError(f"num_threads is {num_threads!r}; a program runs on at least one thread")


def _check_rule_set(item: object) -> None:
    if not isinstance(item, (str, Path, RuleSet)):
        raise EqsatError(f"rules holds {item!r}, which is neither a RuleSet nor a path")


def _check_sketch(item: object) -> None:
    if not isinstance(item, (str, Path, Sketch)):
        raise EqsatError(f"sketches holds {item!r}, which is neither a Sketch nor a path")


def _check_cache(cache: object) -> None:
    if not isinstance(cache, (bool, str, Path)):
        raise EqsatError(f"cache is {cache!r}; it is True, False or the path of a folder")


def _check_limits(limits: object) -> None:
    from eqsat._limits import Limits

    if limits is not None and not isinstance(limits, Limits):
        raise EqsatError(f"limits is {limits!r}; write eqsat.Limits(time_s=5)")


def _lowering_target(num_threads: int | None) -> LoweringTarget:
    bits = host_target().vector_bits
    return LoweringTarget(
        vector_bits=bits,
        num_vector_registers=32 if bits == 512 else 16,
        num_threads=num_threads or available_cpus(),
    )


def rule_sets_of(rules: Sequence[RuleSet | str | Path] | None) -> tuple[RuleSet, ...]:
    """Return the rule sets that `rules` names, those that don't ship checked."""
    if rules is None:
        return default_rules()
    if isinstance(rules, (str, Path, RuleSet)):
        raise EqsatError("rules is a sequence of rule sets and paths; write rules=[...]")
    found: list[RuleSet] = []
    for item in rules:
        _check_rule_set(item)
        found.extend([item] if isinstance(item, RuleSet) else load_rules(item))
    _check_own_rules(found)
    return tuple(found)


def sketches_of(sketches: Sequence[Sketch | str | Path]) -> tuple[Sketch, ...]:
    """Return the sketches that are given or stand in the files that are."""
    if isinstance(sketches, (str, Path, Sketch)):
        raise EqsatError("sketches is a sequence of sketches and paths; write sketches=[...]")
    found: list[Sketch] = []
    for item in sketches:
        _check_sketch(item)
        found.extend([item] if isinstance(item, Sketch) else load_sketches(item))
    return tuple(found)


def _check_own_rules(rule_sets: Sequence[RuleSet]) -> None:
    """Check every rule that does not ship (those that do carry certificates)."""
    from eqsat.rules import Rejection, RuleError, all_rules, check_rule

    shipped = {id(r) for r in all_rules()}
    verdicts = [check_rule(r) for s in rule_sets for r in s.rules if id(r) not in shipped]
    rejected = [str(v) for v in verdicts if isinstance(v, Rejection)]
    if rejected:
        raise RuleError("a rule is not true, so nothing was optimized: " + "; ".join(rejected))


def _check_dims(mod: IRModule, dims: Mapping[str, int]) -> None:
    functions = [f for f in mod.functions.values() if isinstance(f, Function)]
    known = {s for f in functions for p in f.params for s in type_symbols(p.type)}
    if unknown := set(dims) - known:
        raise EqsatError(
            f"dims names {', '.join(sorted(unknown))}; the symbolic dims of the inputs are "
            f"{', '.join(sorted(known)) or 'none'}"
        )

    for name, size in dims.items():
        if not hasattr(size, "__index__") or size < 0:
            raise EqsatError(f"dims gives {name} the size {size!r}; a size is an int, at least 0")


def _silent(what: str, fraction: float) -> None:
    """Show nothing."""


class _Clock:
    """Wall-clock time between marks."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._last = time.perf_counter()

    def mark(self, name: str) -> None:
        now = time.perf_counter()
        self._times[name] = self._times.get(name, 0.0) + now - self._last
        self._last = now

    def times(self) -> tuple[PhaseTime, ...]:
        """Return the time of each phase, in the order in which they were first marked."""
        return tuple(PhaseTime(name, time_s) for name, time_s in self._times.items())


__all__ = [
    "OptimizeResult",
    "Report",
    "compile",
    "default_rules",
    "from_onnx",
    "from_tvm",
    "from_tvmscript",
    "interpret",
    "optimize",
    "to_tvm",
]
