"""The searches that optimize a module: one for each straight-line part of it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from eqsat._decode import decode
from eqsat._explain import rules_used, without_rule
from eqsat._guide import Miss, SketchError, SketchGoal
from eqsat._limits import Limits, SaturationReport
from eqsat._record import Recorder
from eqsat._report import PhaseTime, Report, RuleGain
from eqsat._saturate import saturate
from eqsat._snapshot import Cover, Snapshot
from eqsat._states import States, cover_terms
from eqsat.extract import DeviceProfile, Sizes, extract, input_cover, variants
from eqsat.ir import (
    REQUIRES,
    Call,
    Constant,
    Function,
    GlobalVar,
    IRModule,
    MatchCast,
    NullValue,
    OpDef,
    PrimFunc,
    ShapeExpr,
    ShapeType,
    Tuple,
    TupleGetItem,
    TupleType,
    Type,
    UnknownShape,
    Var,
    VarBinding,
    has_known_shape,
    requirement_text,
    size_requirements,
    symbols_read,
    type_symbols,
)
from eqsat.lowering import PART, has_known_loops, outline, structural_key
from eqsat.lowering import is_native_call as has_native_code
from eqsat.rules import RuleSet, Sketch
from eqsat.shapes import Equal, Facts

# The part of the time that a search gets, however long those before it took.
_LEAST_TIME = 0.05

# Calls that stay as they are in an e-graph of what stands around them.
_OPAQUE = frozenset({"call_tir", "call_tir_with_grad", "call_dps_packed", "call_pure_packed"})


@dataclass(frozen=True, eq=False)
class Search:
    """What is kept of one saturation: enough to extract again.

    Attributes:
        function: the part of the program that is optimized.
        start: the program that the saturation began with: `function`, or what `stages` led to.
        sketch: the form that `cover` was chosen for; None: the cheapest of all.
        stages: the searches before, each for a sketch.
    """

    snapshot: Snapshot
    saturation: SaturationReport
    profile: DeviceProfile
    sizes: Sizes
    before: Cover
    cover: Cover
    function: Function
    requires: tuple[Equal, ...]
    start: Function
    sketch: Sketch | None = None
    stages: tuple[Search, ...] = ()

    def function_of(
        self, cover: Cover, others: Mapping[str, Function | PrimFunc]
    ) -> dict[str, Function | PrimFunc]:
        """Return the function as kernels of `cover`, and these; names in `others` are taken."""
        name = self.function.name
        made = decode(self.snapshot, cover, self.function, others).functions
        if self.requires:
            main = made[name]
            assert isinstance(main, Function)
            attrs = {**main.attrs, REQUIRES: requirement_text(self.requires)}
            made[name] = replace(main, attrs=attrs)
        return made

    def gains(self) -> list[RuleGain]:
        """Extract again, greedily, without each rule that the cover uses."""
        used = rules_used(self.snapshot, self.cover)
        whole = self._cost(self.snapshot)
        return [
            RuleGain(rule, count, self._cost(without_rule(self.snapshot, rule)) - whole)
            for rule, count in used.items()
        ]

    def _cost(self, snapshot: Snapshot) -> float:
        return extract(snapshot, self.profile, self.sizes, time_limit_s=0.0).time_s

    def report(self) -> Report:
        """Return what this search did, without times."""
        return Report.of(
            saturation=self.saturation,
            before=self.before,
            after=self.cover,
            operators=_operator_counts(self.function),
            phases=(),
            sketches=[s.sketch.name for s in self.stages if s.sketch],
        )


@dataclass(frozen=True, eq=False)
class Searches:
    """The searches of a module.

    Attributes:
        rest: the module with its parts outlined, none of them optimized.
        parts: one search for each part, by no name twice.
        settings: how the parts were searched.
    """

    rest: IRModule
    parts: tuple[Search, ...]
    settings: Settings

    @property
    def cover(self) -> Cover:
        """The cover of the one part of a straight-line module."""
        (only,) = self.parts
        return only.cover

    def module(self, covers: Sequence[Cover]) -> IRModule:
        """Return the module with each part computed by its cover."""
        replaced = {s.function.name for s in self.parts}
        order = list(self.rest.functions)
        functions: dict[str, Function | PrimFunc] = {
            n: f for n, f in self.rest.functions.items() if n not in replaced
        }
        # Kernels may not be named like a part that is still to come.
        reserved: dict[str, Function | PrimFunc] = {
            n: f for n, f in self.rest.functions.items() if n in replaced
        }
        shared: dict[object, str] = {}
        for search, cover in zip(self.parts, covers, strict=True):
            name = search.function.name
            del reserved[name]
            made = search.function_of(cover, {**functions, **reserved})
            made = {n: f for n, f in made.items() if n not in reserved}
            functions = _with_shared_kernels(made, name, functions.keys(), shared)
        kernels = [n for n in functions if n not in order]
        order.sort(key=lambda n: not functions[n].attrs.get(PART))  # callees first
        listed = {n: functions[n] for n in [*kernels, *order]}
        return replace(self.rest, functions=listed)

    def best(self) -> IRModule:
        """Return the module with the best cover of each part."""
        return self.module([s.cover for s in self.parts])

    def variants(self, k: int) -> list[IRModule]:
        """Return up to `k` different modules, the cheapest first by the sum of their parts."""
        choices = [variants(s.snapshot, s.profile, s.sizes, k) for s in self.parts]
        return [self.module(covers) for covers in _cheapest(choices, k)]

    def gains(self) -> tuple[RuleGain, ...]:
        """Return what each rule is worth over all parts, the most first."""
        total: dict[str, RuleGain] = {}
        for g in (g for search in self.parts for g in search.gains()):
            have = total.get(g.rule, RuleGain(g.rule, 0, 0.0))
            total[g.rule] = RuleGain(g.rule, have.num_nodes + g.num_nodes, have.gain_s + g.gain_s)
        return tuple(sorted(total.values(), key=lambda g: (-g.gain_s, g.rule)))

    def report(self, phases: tuple[PhaseTime, ...]) -> Report:
        """Return the sums over all parts."""
        return Report.sum([s.report() for s in self.parts], phases)


def _with_shared_kernels(
    made: dict[str, Function | PrimFunc],
    name: str,
    before: Set[str],
    shared: dict[object, str],
) -> dict[str, Function | PrimFunc]:
    """Return `made` where part `name` calls kernels of earlier parts in place of equal new ones."""
    renamed: dict[str, str] = {}
    for n, f in made.items():
        if n in before or n == name or not isinstance(f, Function):
            continue
        key = (structural_key(f), f.attrs.get("template"))
        if shared.setdefault(key, n) != n:
            renamed[n] = shared[key]
    part = made[name]
    assert isinstance(part, Function)
    for block in part.body.blocks:
        for b in block.bindings:
            call = b.value
            if isinstance(call, Call) and isinstance(call.op, GlobalVar):
                call.op = GlobalVar(renamed.get(call.op.name, call.op.name), call.op.type)
    return {n: f for n, f in made.items() if n not in renamed}


def _cheapest(choices: Sequence[Sequence[Cover]], k: int) -> list[list[Cover]]:
    """Return up to `k` ways to choose one cover of each list, by the sum of their times."""

    def cost(picks: tuple[int, ...]) -> float:
        return sum(each[i].time_s for each, i in zip(choices, picks, strict=True))

    start: tuple[int, ...] = (0,) * len(choices)
    heap: list[tuple[float, tuple[int, ...]]] = [(cost(start), start)]
    seen: set[tuple[int, ...]] = {start}
    found: list[list[Cover]] = []
    while heap and len(found) < k:
        _, picks = heapq.heappop(heap)
        found.append([each[i] for each, i in zip(choices, picks, strict=True)])
        for place, each in enumerate(choices):
            after = (*picks[:place], picks[place] + 1, *picks[place + 1 :])
            if after[place] < len(each) and after not in seen:
                seen.add(after)
                heapq.heappush(heap, (cost(after), after))
    return found


@dataclass(frozen=True, eq=False)
class Settings:
    """How to search; `whole` keeps what no output needs in the snapshots.

    `sketches` are forms on the way, in order: the search goes on from a program that has one.
    """

    rule_sets: tuple[RuleSet, ...]
    facts: Facts
    limits: Limits
    dims: Mapping[str, int]
    profile: Callable[[], DeviceProfile]
    whole: bool = False
    sketches: tuple[Sketch, ...] = ()


def outlined_module(module: IRModule) -> tuple[IRModule, list[str]]:
    """Return the module with its parts in functions of their own, and the names of all parts.

    A function that is straight-line is a part as it stands.
    """
    whole = [n for n, f in module.functions.items() if isinstance(f, Function) and is_part(f)]
    others = [n for n, f in module.functions.items() if isinstance(f, Function) and n not in whole]
    rest = outline(module, others, is_native=_is_plain_call)
    made = [n for n in rest.functions if n not in module.functions]
    return rest, [*whole, *made]


def _is_plain_call(module: IRModule, call: Call) -> bool:
    if not isinstance(call.op, OpDef):
        return False
    if not (has_known_loops(call) or has_native_code(module, call)):
        return False
    return bool(call.op.operands) or not call.args or call.op.name in _OPAQUE


def is_part(f: Function) -> bool:
    """Say whether one e-graph can stand for all of `f`: straight-line, pure, of known shapes."""
    if f.attrs.get("primitive") or not all(_is_parameter(p.type) for p in f.params):
        return False
    known = {s for p in f.params for s in type_symbols(p.type)}
    for block in f.body.blocks:
        for b in block.bindings:
            if isinstance(b, MatchCast):
                if not (has_known_shape(b.type) and has_known_shape(b.value.type)):
                    return False
                known |= type_symbols(b.type)
            elif not _is_straight(b) or not symbols_read(b.value) <= known:
                return False
    return has_known_shape(f.body.result.type)


def _is_parameter(ty: Type) -> bool:
    if isinstance(ty, TupleType):
        return all(_is_parameter(t) for t in ty.fields)
    if isinstance(ty, ShapeType):
        return not isinstance(ty.dims, UnknownShape)
    return has_known_shape(ty)


def _is_straight(b: VarBinding) -> bool:
    match b.value:
        case Call(OpDef() as op) as call:
            if not has_known_shape(call.type) or not op.is_pure:
                return False
            if op.operands or not call.args:
                return all(isinstance(a, NullValue) or _is_parameter(a.type) for a in call.args)
            tensors = call.args[1:]
            return op.name in _OPAQUE and all(has_known_shape(a.type) for a in tensors)
        case Var() | Constant() | Tuple() | TupleGetItem():
            return has_known_shape(b.value.type)
        case ShapeExpr():
            return True
        case _:
            return False


@dataclass(eq=False)
class Searcher:
    """Searches parts one after the other; equal parts share a saturation."""

    settings: Settings
    mark: Callable[[str], None]
    report: Callable[[str, float], None]
    _found: dict[object, Search] = field(default_factory=dict[object, Search])
    _misses: list[Miss] = field(default_factory=list[Miss])
    _spent_s: float = 0.0

    def run(self, module: IRModule) -> Searches:
        """Return the searches of all parts of a module.

        Raises:
            EncodeError: a part holds something that the e-graph cannot stand for.
            SketchError: a sketch is reached in no part.
        """
        rest, names = outlined_module(module)
        parts: list[Search] = []
        for k, name in enumerate(names):
            parts.append(self._search(rest, name, k, len(names)))
        self._check_sketches(parts)
        return Searches(rest, tuple(parts), self.settings)

    def _check_sketches(self, parts: Sequence[Search]) -> None:
        reached = {stage.sketch for part in parts for stage in part.stages}
        for sketch in self.settings.sketches:
            if sketch in reached:
                continue
            misses = [m for m in self._misses if m.sketch is sketch]
            nearest = max(misses, key=lambda m: m.depth).text if misses else "there is no part"
            raise SketchError(
                f"no program that was found has the form of sketch {sketch.name}, {sketch}: "
                f"{nearest}; state a form in between as a sketch before it, add rules that lead "
                "there, or raise the limits"
            )

    def _search(self, module: IRModule, name: str, number: int, count: int) -> Search:
        function = module.relax_function(name)
        requires = size_requirements(module, name)
        key = structural_key(function)
        known = self._found.get(key)
        if known is not None:
            return replace(known, function=function, requires=requires)

        def progress(what: str) -> Callable[[float], None]:
            return lambda done: self.report(what, (number + done) / count)

        settings = self.settings
        stages, start = self.guided(function, progress("guide"))
        self.report("saturate", number / count)
        snapshot, saturation = saturate(
            start,
            settings.rule_sets,
            settings.facts,
            self._limits(),
            progress("saturate"),
            whole=settings.whole,
        )
        self._spent_s += saturation.time_s
        self.mark("saturate")
        profile = settings.profile()
        self.mark("profile")
        sizes = Sizes.of(snapshot, settings.dims)
        self.report("extract", number / count)
        cover = extract(snapshot, profile, sizes, progress=progress("extract"))
        before = stages[0].before if stages else input_cover(snapshot, profile, sizes)
        self.mark("extract")
        found = Search(
            snapshot=snapshot,
            saturation=saturation,
            profile=profile,
            sizes=sizes,
            before=before,
            cover=cover,
            function=function,
            requires=requires,
            start=start,
            stages=tuple(stages),
        )
        self._found[key] = found
        return found

    def guided(
        self, function: Function, tell: Callable[[float], None]
    ) -> tuple[list[Search], Function]:
        """Return a search for each sketch that is reached, and the program to start from then."""
        stages: list[Search] = []
        start = function
        for i, sketch in enumerate(self.settings.sketches):
            tell(i / len(self.settings.sketches))
            reached = self._stage(function, start, sketch)
            self.mark("guide")
            if reached is not None:
                stages.append(reached[0])
                start = reached[1]
        return stages, start

    def _stage(
        self, function: Function, start: Function, sketch: Sketch
    ) -> tuple[Search, Function] | None:
        """Return a search that ends with the cheapest program of a form, and that program."""
        settings = self.settings
        profile = settings.profile()
        goal, recorder = SketchGoal(sketch, profile, settings.dims), Recorder()
        limits = self._limits()
        everything, saturation = saturate(
            start, settings.rule_sets, settings.facts, limits, recorder=recorder, goal=goal
        )
        self._spent_s += saturation.time_s
        if not goal.is_reached(everything):
            self._misses.append(goal.miss(everything, saturation.stop))
            return None
        assert goal.found is not None
        snapshot, cover = goal.found
        sizes = Sizes.of(snapshot, settings.dims)
        found = Search(
            snapshot=snapshot,
            saturation=saturation,
            profile=profile,
            sizes=sizes,
            before=self._as_given(function, profile),
            cover=cover,
            function=function,
            requires=(),
            start=start,
            sketch=sketch,
        )
        outputs = cover_terms(snapshot, cover, recorder.proofs, recorder.words)
        return found, States(start, recorder).function(outputs)

    def _as_given(self, function: Function, profile: DeviceProfile) -> Cover:
        snapshot, _ = saturate(function, (), self.settings.facts)
        return input_cover(snapshot, profile, Sizes.of(snapshot, self.settings.dims))

    def _limits(self) -> Limits:
        """Return the limits of the next part: the time is one budget, of which each gets some."""
        limits = self.settings.limits
        left_s = max(limits.time_s - self._spent_s, _LEAST_TIME * limits.time_s)
        return replace(limits, time_s=left_s)


def _operator_counts(function: Function) -> Counter[str]:
    """Return how often each operator is called."""
    counts: Counter[str] = Counter()
    for block in function.body.blocks:
        for b in block.bindings:
            called = b.value.op if isinstance(b.value, Call) else None
            if isinstance(b, VarBinding) and isinstance(called, OpDef):
                counts[called.name] += 1
    return counts
