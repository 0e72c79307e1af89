"""The border to egglog: tables, rules and runs in terms of plain integers.

Nothing outside this file knows egglog. An e-node is a row of its symbol's table: classes, then one
integer per column. One function over classes carries the analyses, packed into an integer: below,
the type (interned); above `_TYPE_BITS`, what is known (0 nothing, 1 constant, above: the number
that all elements are). Per symbol, `prov` holds the first rule that made an e-node, 0 for the
program.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from eqsat._record import Recorder
from eqsat._tables import Application, Contents, EngineRule, Node, Row, Symbol
from eqsat.shapes import EqsatError

# egglog's thread pool reads this when it starts. With more threads value ids differ by run.
os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("RUST_BACKTRACE", "0")

import egglog.bindings as egg

# Objects take half the time to make with this span as with a `RustSpan`.
_SPAN = egg.EgglogSpan(egg.SrcFile(None, "eqsat"), 0, 0)

# Of the analyses of a class, the lower bits are its type. Less to join than two functions.
_TYPE_BITS = 32
_TYPE_MASK = (1 << _TYPE_BITS) - 1

# What runs after each change, in this order: constness is propagated until nothing changes, then
# what is known of each class is noted, and where that has changed; then what uses what.
_ANALYSES = ("propagation", "history", "differing", "parts", "edges")


class EngineError(EqsatError):
    """The e-graph engine failed; this is a defect of eqsat or of a rule, not of the program."""


_used_by: set[int] = set()


def _check_process() -> None:
    """Refuse to work in the child of a fork: it lacks the threads of the pool, and would hang."""
    if _used_by and os.getpid() not in _used_by:
        raise EngineError(
            "this process is a fork of one that had called optimize, and the e-graph engine does "
            "not survive a fork; optimize before forking (compiled programs run in both), or start "
            'the process with multiprocessing.get_context("spawn")'
        )
    _used_by.add(os.getpid())


@lru_cache(maxsize=1 << 12)
def _var(name: str) -> egg.Var:
    return egg.Var(_SPAN, name)


@lru_cache(maxsize=1 << 12)
def _int(value: int) -> egg.Lit:
    return egg.Lit(_SPAN, egg.Int(value))


def _call(name: str, *args: egg.Var | egg.Lit | egg.Call) -> egg.Call:
    return egg.Call(_SPAN, name, [*args])


def _column(value: str | int) -> egg.Var | egg.Lit:
    return _var(value) if isinstance(value, str) else _int(value)


def _term(node: Node) -> egg.Call:
    return _call(node.symbol.name, *_arguments(node))


def _arguments(node: Node) -> list[Any]:
    return [*map(_var, node.classes), *map(_column, node.columns)]


def _is(left: egg.Var, right: egg.Call) -> egg.Eq:
    return egg.Eq(_SPAN, left, right)


@dataclass(eq=False, slots=True)
class _Pattern:
    """What several rules search for: the body of `rule`, but for the names of its variables.

    It can match only where its `edges` are there: (symbol, position of an operand, symbol of it).
    """

    index: int
    rule: EngineRule
    edges: set[tuple[int, int, int]]
    rules: list[int] = field(default_factory=list[int])
    is_compiled: bool = False


def _form(rule: EngineRule) -> tuple[object, ...]:
    """Return the body of a rule with its variables numbered: rules that match alike share it."""
    numbers: dict[str, int] = {}

    def number(name: str) -> int:
        return numbers.setdefault(name, len(numbers))

    nodes: list[object] = []
    for n in rule.body:
        columns = [(number(c),) if isinstance(c, str) else c for c in n.columns]
        nodes.append((n.symbol.name, *map(number, n.classes), *columns, number(n.result)))
    return (*nodes, *map(number, rule.ordered))


class Engine:
    """An e-graph that answers in integers.

    Use it on one thread. After an `EngineError` the e-graph is not to be read any more. A recorder
    is told all that makes terms equal.
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        _check_process()
        self._recorder = recorder
        self._graph = egg.EGraph()
        self._symbols: dict[str, Symbol] = {}
        self._rules: dict[int, EngineRule] = {}
        self._patterns: dict[tuple[object, ...], _Pattern] = {}
        self._pattern_of: dict[int, _Pattern] = {}  # by rule
        self._symbol_numbers: dict[str, int] = {}
        self._edges: set[tuple[int, ...]] = set()
        self._combined: dict[tuple[str, ...], str] = {}
        self._asking: set[int] = set()  # rules that have matched
        self._acting: set[int] = set()  # rules that have been answered
        self._due: set[int] = set()  # rules that may have something new to ask
        self._num_asked: dict[int, int] = {}
        self._asked: dict[int, set[tuple[int, ...]]] = {}
        self._num_outputs = 0
        self._num_united = 0
        self._known_sizes: dict[str, int] | None = None
        self._known_contents: Contents | None = None
        self._run(
            egg.Sort(_SPAN, "T", None),
            egg.FunctionCommand(_SPAN, "data", egg.Schema(["T"], "i64"), _merged_data()),
            egg.FunctionCommand(_SPAN, "output", egg.Schema(["i64"], "T"), None),
            egg.Relation(_SPAN, "typed", ["T", "i64"]),
            egg.Relation(_SPAN, "types_united", ["i64", "i64"]),
            egg.Relation(_SPAN, "known", ["T", "i64"]),
            egg.Relation(_SPAN, "was_known", ["T", "i64"]),
            egg.Relation(_SPAN, "known_changed", ["i64", "i64"]),
            egg.Relation(_SPAN, "number_is", ["i64", "i64"]),
            egg.Relation(_SPAN, "collapsed", ["T", "i64"]),
            egg.Relation(_SPAN, "made", ["T", "i64"]),
            egg.Relation(_SPAN, "used", ["T", "i64", "i64"]),
            egg.Relation(_SPAN, "edge", ["i64", "i64", "i64"]),
            *(egg.AddRuleset(_SPAN, name) for name in ("load", "types", *_ANALYSES)),
            egg.RuleCommand(_types()),
            egg.RuleCommand(_history()),
            egg.RuleCommand(_differing("types_united", "typed")),
            egg.RuleCommand(_differing("known_changed", "was_known")),
            egg.RuleCommand(_edges()),
        )

    def _run(self, *commands: Any) -> list[Any]:
        self._known_sizes = self._known_contents = None  # they may change
        return self._read(*commands)

    def _read(self, *commands: Any) -> list[Any]:
        """Run commands that change nothing."""
        try:
            return self._graph.run_program(*commands)
        except egg.EggSmolError as error:
            raise EngineError(f"egglog rejected a command: {error.context}") from error
        except BaseException as error:
            # A panic inside egglog is no Exception, and not to be caught by name.
            if type(error).__name__ == "PanicException":
                raise EngineError(f"egglog panicked: {error}") from error
            raise

    def declare(self, symbol: Symbol) -> None:
        """Make the table of `symbol`; nothing happens where it exists."""
        if symbol.name in self._symbols:
            return
        self._symbols[symbol.name] = symbol
        inputs = ["T"] * symbol.num_classes + ["i64"] * symbol.num_columns
        prov = egg.Schema(inputs, "i64")
        self._run(
            egg.Constructor(_SPAN, symbol.name, egg.Schema(inputs, "T"), None, False),
            egg.FunctionCommand(_SPAN, f"prov_{symbol.name}", prov, _merge("min")),
            egg.RuleCommand(_parts(symbol, self._symbol_number(symbol))),
        )
        if symbol.propagates:
            self._run(egg.RuleCommand(_propagation(symbol)))

    def _symbol_number(self, symbol: Symbol) -> int:
        return self._symbol_numbers.setdefault(symbol.name, len(self._symbol_numbers))

    def add_rule(self, rule: EngineRule) -> None:
        """Add a rule. It is compiled as far as it gets something to do."""
        i = rule.index
        self._rules[i] = rule
        self._num_asked[i] = 0
        self._asked[i] = set()
        edges = {
            (self._symbol_number(user.symbol), position, self._symbol_number(maker.symbol))
            for user in rule.body
            for position, c in enumerate(user.classes)
            for maker in rule.body
            if maker.result == c
        }
        fresh = _Pattern(len(self._patterns), rule, edges)
        pattern = self._patterns.setdefault(_form(rule), fresh)
        pattern.rules.append(i)
        self._pattern_of[i] = pattern
        if pattern.is_compiled:
            self._due.add(i)

    def _let_search(self, patterns: Sequence[_Pattern]) -> None:
        """Compile the patterns of which all parts are there; in a program most never are."""
        waiting = [p for p in patterns if not p.is_compiled]
        sizes = self._sizes()
        if waiting and sizes["edge"] > len(self._edges):
            self._edges.update(self._relation("edge"))
        for p in waiting:
            symbols = [n.symbol.name for n in p.rule.body]
            if p.edges <= self._edges and all(sizes.get(name) for name in symbols):
                self._compile(p)

    def _compile(self, pattern: _Pattern) -> None:
        i, rule = pattern.index, pattern.rule
        match: list[Any] = [egg.Expr_(_SPAN, _call(f"match{i}", *map(_var, _variables(rule))))]
        self._run(
            egg.Relation(_SPAN, f"match{i}", _sorts(rule)),
            egg.AddRuleset(_SPAN, f"search{i}"),
            _rule(f"search{i}", _body(rule), match),
        )
        pattern.is_compiled = True

    def _let_ask(self, rule: EngineRule) -> None:
        """Add what asks about matches; most rules never match in a program."""
        i = rule.index
        variables = _variables(rule)
        key = [_var(v) for v in rule.key]
        match = _call(f"match{self._pattern_of[i].index}", *map(_var, variables))
        asked = _call(f"asked{i}", *map(_var, variables), *key)
        key_sorts = ["i64"] * len(key)
        ask: list[Any] = [egg.Expr_(_SPAN, asked), egg.Expr_(_SPAN, _call(f"ask{i}", *key))]
        self._run(
            egg.Relation(_SPAN, f"asked{i}", _sorts(rule) + key_sorts),
            egg.Relation(_SPAN, f"ask{i}", key_sorts),
            egg.AddRuleset(_SPAN, f"question{i}"),
            _rule(f"question{i}", [egg.Fact(match), *_conditions(rule)], ask),
        )
        self._asking.add(i)

    def _let_act(self, rule: EngineRule) -> None:
        """Add what acts on answered matches; half of the rules that match get no answer."""
        i = rule.index
        for new in rule.new:
            self.declare(new.node.symbol)
        key = [_var(v) for v in rule.key]
        asked = _call(f"asked{i}", *map(_var, _variables(rule)), *key)
        answer = _call(f"answer{i}", *key, *(_var(v) for v in rule.answers))
        # Each rule joins few tables, so that the planner cannot start from types, which many
        # classes share: with the answer in one join with the pattern, 36 matches took 0.2 s.
        self._run(
            egg.Relation(_SPAN, f"answer{i}", ["i64"] * (len(key) + len(rule.answers))),
            egg.AddRuleset(_SPAN, f"apply{i}"),
            _rule(f"apply{i}", [egg.Fact(asked), egg.Fact(answer)], _actions(rule)),
        )
        self._acting.add(i)

    def load(
        self,
        nodes: Sequence[tuple[Symbol, tuple[int, ...], tuple[int, ...], int, int]],
        outputs: Sequence[int],
    ) -> None:
        """Add a program: (symbol, operands as positions in `nodes`, columns, type, known) each.

        One rule with one action list, which egglog takes in linear time; global bindings would
        make a table each.
        """
        self._num_outputs = len(outputs)
        if self._recorder:
            self._recorder.loaded([node[:3] for node in nodes])
        head: list[Any] = []
        for i, (symbol, operands, columns, type_id, known) in enumerate(nodes):
            self.declare(symbol)
            arguments: list[Any] = [*(_var(f"n{k}") for k in operands), *map(_int, columns)]
            result = _var(f"n{i}")
            head.append(egg.Let(_SPAN, f"n{i}", _call(symbol.name, *arguments)))
            head.append(egg.Set(_SPAN, "data", [result], _int(known << _TYPE_BITS | type_id)))
            if known:
                head.append(egg.Expr_(_SPAN, _call("known", result, _int(known))))
            head.append(egg.Set(_SPAN, f"prov_{symbol.name}", arguments, _int(0)))
        for position, i in enumerate(outputs):
            head.append(egg.Set(_SPAN, "output", [_int(position)], _var(f"n{i}")))
        if head:
            self._run(egg.RuleCommand(egg.Rule(_SPAN, head, [], "load", "load")))
            self._run_rulesets(("load",))
            self._run_rulesets(("types",))

    def unite(
        self,
        nodes: Sequence[tuple[Symbol, tuple[int, ...], tuple[int, ...]]],
        pairs: Sequence[tuple[int, int, int]],
    ) -> None:
        """Unite classes.

        Args:
            nodes: e-nodes that exist: symbol, operands as positions in `nodes`, columns.
            pairs: two positions in `nodes`, and the rule that says that they are the same.
        """
        if self._recorder:
            self._recorder.united(nodes, pairs)
        head: list[Any] = []
        for i, (symbol, operands, columns) in enumerate(nodes):
            arguments: list[Any] = [*(_var(f"n{k}") for k in operands), *map(_int, columns)]
            head.append(egg.Let(_SPAN, f"n{i}", _call(symbol.name, *arguments)))
        for left, right, rule in pairs:
            collapsed = _call("collapsed", _var(f"n{left}"), _int(rule))
            head.append(egg.Expr_(_SPAN, collapsed))
            head.append(egg.Union(_SPAN, _var(f"n{left}"), _var(f"n{right}")))
        name = f"unite{self._num_united}"
        self._num_united += 1
        self._run(egg.AddRuleset(_SPAN, name), _rule(name, [], head))
        self._run_rulesets((name,))

    def insert_numbers(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Say which (number, literal) pairs match."""
        self._insert("number_is", pairs)

    def answer(self, rule: int, rows: Sequence[tuple[int, ...]]) -> None:
        """Answer questions of a rule: key and answer values in one row each."""
        if rows and rule not in self._acting:
            self._let_act(self._rules[rule])
        self._insert(f"answer{rule}", rows)

    def _insert(self, table: str, rows: Sequence[tuple[int, ...]]) -> None:
        if rows:
            calls = (_call(table, *map(_int, row)) for row in rows)
            self._run(*(egg.ActionCommand(egg.Expr_(_SPAN, c)) for c in calls))

    def search(self, rules: Sequence[int]) -> dict[int, int]:
        """Match the rules against what is new to them; return how often those with news match.

        A rule asks where it has new matches, or where what is known of a class has changed.
        """
        patterns = [*dict.fromkeys(self._pattern_of[i] for i in rules)]
        self._let_search(patterns)
        compiled = [p for p in patterns if p.is_compiled]
        if not compiled:
            return {}
        searches = tuple(f"search{p.index}" for p in compiled)
        matched = self._run_rulesets(searches).num_matches_per_rule
        for p in compiled:
            if matched.get(f"search{p.index}"):
                self._due.update(p.rules)
        due = [i for i in rules if i in self._due]
        if not due:
            return {}
        for i in due:
            if i not in self._asking:
                self._let_ask(self._rules[i])
        self._due.difference_update(due)
        found = self._run_rulesets(tuple(f"question{i}" for i in due)).num_matches_per_rule
        return {i: found.get(f"question{i}", 0) for i in due}

    def apply(self, rules: Sequence[int]) -> tuple[bool, dict[int, int]]:
        """Let the rules act on answered matches; return whether anything changed, and matches."""
        acting = [i for i in rules if i in self._acting]
        if not acting:
            return False, {}
        if self._recorder:
            self._record(acting, self._recorder)
        report = self._run_rulesets(tuple(f"apply{i}" for i in acting))
        found = report.num_matches_per_rule
        return report.updated, {i: found.get(f"apply{i}", 0) for i in rules}

    def analyse(self) -> None:
        """Bring the analyses of classes and the list of edges up to date."""
        for name in _ANALYSES:
            found = self._run_rulesets((name,), saturate=name == "propagation").num_matches_per_rule
            if found.get("types_united") or found.get("known_changed"):
                self._due |= self._asking

    def _run_rulesets(self, names: tuple[str, ...], *, saturate: bool = False) -> Any:
        name = names[0] if len(names) == 1 else self._combine(names)
        schedule: Any = egg.Run(_SPAN, egg.RunConfig(name))
        if saturate:
            schedule = egg.Saturate(_SPAN, schedule)
        return self._run(egg.RunSchedule(schedule))[0].report

    def _combine(self, names: tuple[str, ...]) -> str:
        if names not in self._combined:
            name = f"combined{len(self._combined)}"
            self._run(egg.UnstableCombinedRuleset(_SPAN, name, [*names]))
            self._combined[names] = name
        return self._combined[names]

    def questions(self) -> dict[int, list[tuple[int, ...]]]:
        """Return the questions of each rule that were not returned before."""
        sizes = self._sizes()
        new: dict[int, list[tuple[int, ...]]] = {}
        for i in sorted(self._asking):
            size = sizes[f"ask{i}"]
            if size > self._num_asked[i]:
                self._num_asked[i] = size
                new[i] = self._unasked(i)
        return new

    def _unasked(self, rule: int) -> list[tuple[int, ...]]:
        asked = self._asked[rule]
        fresh = sorted(set(self._relation(f"ask{rule}")) - asked)
        asked.update(fresh)
        return fresh

    def types_united(self) -> list[tuple[int, int]]:
        """Return the pairs of different types that met in one class."""
        if not self._sizes()["types_united"]:
            return []
        return sorted((row[0], row[1]) for row in self._relation("types_united"))

    def _relation(self, name: str) -> list[tuple[int, ...]]:
        mode = egg.DefaultPrintFunctionMode()
        printed = self._read(egg.PrintFunction(_SPAN, name, None, None, mode))[0]
        get = printed.termdag.get
        return [tuple(get(a).value.value for a in get(term).args) for term, _ in printed.terms]

    def _sizes(self) -> dict[str, int]:
        if self._known_sizes is None:
            self._known_sizes = dict(self._read(egg.PrintSize(_SPAN, None))[0].sizes)
        return self._known_sizes

    def present(self) -> list[str]:
        """Return the names of the symbols that have e-nodes."""
        sizes = self._sizes()
        return [name for name in self._symbols if sizes[name]]

    def num_nodes(self) -> int:
        """Return the number of e-nodes."""
        sizes = self._sizes()
        return sum(sizes[name] for name in self._symbols)

    def num_classes(self) -> int:
        """Return the number of e-classes."""
        return self._sizes()["data"]

    def contents(self) -> Contents:
        """Read the whole e-graph."""
        if self._known_contents is None:
            self._known_contents = self._contents(self._graph.freeze().functions, {})
        return self._known_contents

    def part(self, symbols: Collection[str]) -> Contents:
        """Read the e-nodes of these symbols; classes have other ids than in `contents()`."""
        return self._contents(self._graph.freeze().functions, {}, symbols)

    def _contents(
        self, tables: Any, ids: dict[Any, int], symbols: Collection[str] | None = None
    ) -> Contents:
        number = self._graph.value_to_i64

        def class_of(value: Any) -> int:
            return ids.setdefault(value, len(ids))

        outputs = {number(r.inputs[0]): class_of(r.output) for r in tables["output"].rows}
        rows: list[Row] = []
        for name, symbol in self._symbols.items():
            if symbols is not None and name not in symbols:
                continue
            made_by = {tuple(r.inputs): number(r.output) for r in tables[f"prov_{name}"].rows}
            split = symbol.num_classes
            for r in tables[name].rows:
                inputs = tuple(r.inputs)
                classes = tuple(map(class_of, inputs[:split]))
                columns = tuple(map(number, inputs[split:]))
                rows.append(Row(symbol, classes, columns, class_of(r.output), made_by[inputs]))
        collapsed: dict[int, tuple[int, ...]] = {}
        for r in tables["collapsed"].rows:
            c = ids.get(r.inputs[0], -1)  # -1: a class of which no e-node is read
            collapsed[c] = (*collapsed.get(c, ()), number(r.inputs[1]))
        data = {ids.get(r.inputs[0], -1): number(r.output) for r in tables["data"].rows}
        return Contents(
            rows=tuple(rows),
            types={c: d & _TYPE_MASK for c, d in data.items()},
            known={c: d >> _TYPE_BITS for c, d in data.items()},
            collapsed=collapsed,
            outputs=tuple(outputs[i] for i in range(self._num_outputs)),
        )

    def _record(self, rules: Sequence[int], recorder: Recorder) -> None:
        """Tell the recorder on which matches the rules are about to act."""
        tables = self._graph.freeze().functions
        ids: dict[Any, int] = {}
        contents = self._contents(tables, ids)
        found = [a for i in rules for a in self._applications(self._rules[i], tables, ids)]
        recorder.applied(contents, self._rules, found)

    def _applications(
        self, rule: EngineRule, tables: Any, ids: dict[Any, int]
    ) -> Iterator[Application]:
        """Yield the answered matches of a rule, in a fixed order."""
        number = self._graph.value_to_i64
        split = len(rule.key)
        answers: dict[tuple[int, ...], tuple[int, ...]] = {}
        for r in tables[f"answer{rule.index}"].rows:
            row = tuple(map(number, r.inputs))
            answers[row[:split]] = row[split:]
        variables, classes = _variables(rule), _class_variables(rule)
        found: list[tuple[int, ...]] = []
        for r in tables[f"asked{rule.index}"].rows:
            bound = zip(variables, r.inputs, strict=False)
            key = map(number, r.inputs[len(variables) :])
            found.append((*(ids[x] if v in classes else number(x) for v, x in bound), *key))
        for row in sorted(found):
            key = row[len(variables) :]
            if key in answers:
                bound = dict(zip(variables, row, strict=False))
                values = {v: x for v, x in bound.items() if v not in classes}
                values |= dict(zip(rule.key, key, strict=True))
                values |= dict(zip(rule.answers, answers[key], strict=True))
                yield Application(rule.index, {v: bound[v] for v in bound if v in classes}, values)


def _merge(function: str) -> egg.Call:
    return _call(function, _var("old"), _var("new"))


def _type(data: egg.Var) -> egg.Call:
    return _call("&", data, _int(_TYPE_MASK))


def _known(data: egg.Var) -> egg.Call:
    return _call(">>", data, _int(_TYPE_BITS))


def _data(type_id: Any, known: Any) -> egg.Call:
    return _call("|", _call("<<", known, _int(_TYPE_BITS)), type_id)


def _is_constant(data: egg.Var) -> egg.Fact:
    return egg.Fact(_call(">", data, _int(_TYPE_MASK)))


def _is_static(value: egg.Var) -> egg.Eq:
    return egg.Eq(_SPAN, _int(0), _call("&", value, _int(1)))  # see Values


def _merged_data() -> egg.Call:
    """Of two that meet: the lesser type, which is the same, and the more that is known."""
    old, new = _var("old"), _var("new")
    lesser = _call("min", _type(old), _type(new))
    return _data(lesser, _call("max", _known(old), _known(new)))


def _types() -> egg.Rule:
    """The rule that notes the type of each class of the program."""
    body: list[Any] = [_is(_var("d"), _call("data", _var("x")))]
    head: list[Any] = [egg.Expr_(_SPAN, _call("typed", _var("x"), _type(_var("d"))))]
    return egg.Rule(_SPAN, head, body, "types", "types")


def _history() -> egg.Rule:
    """The rule that notes what is known of each class."""
    body: list[Any] = [_is(_var("d"), _call("data", _var("x")))]
    head: list[Any] = [egg.Expr_(_SPAN, _call("was_known", _var("x"), _known(_var("d"))))]
    return egg.Rule(_SPAN, head, body, "history", "history")


def _differing(name: str, notes: str) -> egg.Rule:
    """The rule that notes which values of an analysis met in one class.

    Two types have to be the same; of what is known, the greater holds from then on.
    """
    body: list[Any] = [
        egg.Fact(_call(notes, _var("x"), _var("a"))),
        egg.Fact(_call(notes, _var("x"), _var("b"))),
        egg.Fact(_call("<", _var("a"), _var("b"))),
    ]
    head: list[Any] = [egg.Expr_(_SPAN, _call(name, _var("a"), _var("b")))]
    return egg.Rule(_SPAN, head, body, name, "differing")


def _parts(symbol: Symbol, number: int) -> egg.Rule:
    """The rule that notes what makes and what uses a class."""
    classes = [f"c{i}" for i in range(symbol.num_classes)]
    columns = [f"v{i}" for i in range(symbol.num_columns)]
    body: list[Any] = [_is(_var("e"), _term(Node("e", symbol, tuple(classes), tuple(columns))))]
    used = [_call("used", _var(c), _int(number), _int(i)) for i, c in enumerate(classes)]
    facts = [_call("made", _var("e"), _int(number)), *used]
    head: list[Any] = [egg.Expr_(_SPAN, fact) for fact in facts]
    return egg.Rule(_SPAN, head, body, f"parts_{symbol.name}", "parts")


def _edges() -> egg.Rule:
    """The rule that notes which operator uses a value of which."""
    used = _call("used", _var("x"), _var("user"), _var("position"))
    made = _call("made", _var("x"), _var("maker"))
    edge = _call("edge", _var("user"), _var("position"), _var("maker"))
    head: list[Any] = [egg.Expr_(_SPAN, edge)]
    return egg.Rule(_SPAN, head, [egg.Fact(used), egg.Fact(made)], "edges", "edges")


def _propagation(symbol: Symbol) -> egg.Rule:
    classes = [f"c{i}" for i in range(symbol.num_classes)]
    columns = [f"v{i}" for i in range(symbol.num_columns)]
    body: list[Any] = [_is(_var("e"), _term(Node("e", symbol, tuple(classes), tuple(columns))))]
    # Not by `data`: what a primitive computes is compared after the join, not joined on.
    body.extend(egg.Fact(_call("known", _var(c), _var(f"k_{c}"))) for c in classes)
    body.append(egg.Fact(_call("typed", _var("e"), _var("t"))))
    body.extend(_is_static(_var(v)) for v in ("t", *(f"v{i}" for i in symbol.static_columns)))
    known = _var(f"k_{classes[0]}") if symbol.copies else _int(1)
    head: list[Any] = [
        egg.Set(_SPAN, "data", [_var("e")], _data(_var("t"), known)),
        egg.Expr_(_SPAN, _call("known", _var("e"), known)),
    ]
    return egg.Rule(_SPAN, head, body, f"propagate_{symbol.name}", "propagation")


def _rule(name: str, body: list[Any], head: list[Any]) -> egg.RuleCommand:
    """Return a rule that is alone in the rule set of its name."""
    return egg.RuleCommand(egg.Rule(_SPAN, head, body, name, name))


def _class_variables(rule: EngineRule) -> set[str]:
    return {c for n in rule.body for c in (n.result, *n.classes)}


def _variables(rule: EngineRule) -> list[str]:
    """Return what a match binds: classes and column values, in order of appearance."""
    found: dict[str, None] = {}
    for n in rule.body:
        found.update(dict.fromkeys((*n.classes, n.result)))
        found.update(dict.fromkeys(c for c in n.columns if isinstance(c, str)))
    return list(found)


def _sorts(rule: EngineRule) -> list[str]:
    classes = _class_variables(rule)
    return ["T" if v in classes else "i64" for v in _variables(rule)]


def _body(rule: EngineRule) -> list[Any]:
    body: list[Any] = [_is(_var(n.result), _term(n)) for n in rule.body]
    for a, b in zip(rule.ordered, rule.ordered[1:], strict=False):
        body.append(_is(_var(a), _call("ordering-min", _var(a), _var(b))))
        body.append(egg.Fact(_call("!=", _var(a), _var(b))))
    return body


def _conditions(rule: EngineRule) -> list[Any]:
    looked_at = [c for c, _ in (*rule.types, *rule.known)]
    data = {c: _var(f"data_{c}") for c in dict.fromkeys((*looked_at, *rule.constants))}
    body: list[Any] = [_is(d, _call("data", _var(c))) for c, d in data.items()]
    body.extend(_is(_var(v), _type(data[c])) for c, v in rule.types)
    body.extend(_is(_var(v), _known(data[c])) for c, v in rule.known)
    body.extend(_is_constant(data[c]) for c in rule.constants)
    for i, (c, literal) in enumerate(rule.literals):
        body.append(egg.Fact(_call("known", _var(c), _var(f"number{i}"))))
        body.append(egg.Fact(_call("number_is", _var(f"number{i}"), _int(literal))))
    return body


def _actions(rule: EngineRule) -> list[Any]:
    actions: list[Any] = []
    for new in rule.new:
        node = new.node
        result = _var(node.result)
        prov = f"prov_{node.symbol.name}"
        actions.append(egg.Let(_SPAN, node.result, _term(node)))
        known = _column(node.columns[new.known]) if new.known >= 0 else _int(0)
        actions.append(egg.Set(_SPAN, "data", [result], _data(_var(new.type), known)))
        if new.known >= 0:
            actions.append(egg.Expr_(_SPAN, _call("known", result, known)))
        # The type goes in a second time: of two that meet in one class, `data` keeps one.
        actions.append(egg.Expr_(_SPAN, _call("typed", result, _var(new.type))))
        actions.append(egg.Set(_SPAN, prov, _arguments(node), _int(rule.index)))
    made = {new.node.result for new in rule.new}
    for left, right in rule.unions:
        if right not in made:
            collapsed = _call("collapsed", _var(left), _int(rule.index))
            actions.append(egg.Expr_(_SPAN, collapsed))
        actions.append(egg.Union(_SPAN, _var(left), _var(right)))
    return actions
