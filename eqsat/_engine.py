"""The border to egglog: tables, rules and runs in terms of plain integers.

Nothing outside this file knows egglog. An e-node is a row of its symbol's table: classes, then one
integer per column. Two functions over classes carry the analyses: `type` (an interned type) and
`known` (0 nothing, 1 constant, above: the number that all elements are). Per symbol, `prov` holds
the first rule that made an e-node, 0 for the program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from eqsat._record import Recorder
from eqsat._tables import Application, Contents, EngineRule, Node, Row, Symbol
from eqsat.shapes import EqsatError

# egglog's thread pool reads this when it starts. With more threads value ids differ by run.
os.environ.setdefault("RAYON_NUM_THREADS", "1")
os.environ.setdefault("RUST_BACKTRACE", "0")

import egglog.bindings as egg

_SPAN = egg.RustSpan("eqsat", 0, 0)


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


def _var(name: str) -> egg.Var:
    return egg.Var(_SPAN, name)


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
        self._combined: dict[tuple[str, ...], str] = {}
        self._asking: set[int] = set()  # rules that have matched
        self._acting: set[int] = set()  # rules that have been answered
        self._num_asked: dict[int, int] = {}
        self._asked: dict[int, set[tuple[int, ...]]] = {}
        self._num_outputs = 0
        self._num_united = 0
        self._known_sizes: dict[str, int] | None = None
        self._run(
            egg.Sort(_SPAN, "T", None),
            egg.FunctionCommand(_SPAN, "type", egg.Schema(["T"], "i64"), _merge("min")),
            egg.FunctionCommand(_SPAN, "known", egg.Schema(["T"], "i64"), _merge("max")),
            egg.FunctionCommand(_SPAN, "output", egg.Schema(["i64"], "T"), None),
            egg.Relation(_SPAN, "typed", ["T", "i64"]),
            egg.Relation(_SPAN, "types_united", ["i64", "i64"]),
            egg.Relation(_SPAN, "static", ["i64"]),
            egg.Relation(_SPAN, "number_is", ["i64", "i64"]),
            egg.Relation(_SPAN, "collapsed", ["T", "i64"]),
            egg.AddRuleset(_SPAN, "load"),
            egg.AddRuleset(_SPAN, "analysis"),
            egg.RuleCommand(_defaults()),
            egg.RuleCommand(_type_unions()),
        )

    def _run(self, *commands: Any) -> list[Any]:
        self._known_sizes = None  # they may change
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
        )
        if symbol.propagates:
            self._run(egg.RuleCommand(_propagation(symbol)))

    def add_rule(self, rule: EngineRule) -> None:
        """Compile a rule; its symbols are declared on the way."""
        i = rule.index
        for node in rule.body:
            self.declare(node.symbol)
        self._rules[i] = rule
        self._num_asked[i] = 0
        self._asked[i] = set()
        variables = _variables(rule)
        found: list[Any] = [egg.Expr_(_SPAN, _call(f"match{i}", *map(_var, variables)))]
        self._run(
            egg.Relation(_SPAN, f"match{i}", _sorts(rule)),
            egg.AddRuleset(_SPAN, f"search{i}"),
            _rule(f"search{i}", _pattern(rule), found),
        )

    def _let_ask(self, rule: EngineRule) -> None:
        """Add what asks about matches; most rules never match in a program."""
        i = rule.index
        variables = _variables(rule)
        key = [_var(v) for v in rule.key]
        match = _call(f"match{i}", *map(_var, variables))
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
            head.append(egg.Set(_SPAN, "type", [result], _int(type_id)))
            if known:
                head.append(egg.Set(_SPAN, "known", [result], _int(known)))
            head.append(egg.Set(_SPAN, f"prov_{symbol.name}", arguments, _int(0)))
        for position, i in enumerate(outputs):
            head.append(egg.Set(_SPAN, "output", [_int(position)], _var(f"n{i}")))
        if head:
            self._run(egg.RuleCommand(egg.Rule(_SPAN, head, [], "load", "load")))
            self._run_rulesets(("load",))

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

    def insert_static(self, values: Sequence[int]) -> None:
        """Say that these types and column values hold no symbol."""
        self._insert("static", [(v,) for v in values])

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
        """Match the rules against what is new to them; return the number of matches of each."""
        self._run_rulesets(tuple(f"search{i}" for i in rules))
        sizes = self._sizes()
        for i in rules:
            if sizes[f"match{i}"] and i not in self._asking:
                self._let_ask(self._rules[i])
        asking = tuple(f"question{i}" for i in rules if i in self._asking)
        if not asking:
            return dict.fromkeys(rules, 0)
        found = self._run_rulesets(asking).num_matches_per_rule
        return {i: found.get(f"question{i}", 0) for i in rules}

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
        """Propagate constness until nothing changes."""
        self._run_rulesets(("analysis",), saturate=True)

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
        return self._sizes()["type"]

    def contents(self) -> Contents:
        """Read the whole e-graph."""
        return self._contents(self._graph.freeze().functions, {})

    def _contents(self, tables: Any, ids: dict[Any, int]) -> Contents:
        number = self._graph.value_to_i64

        def class_of(value: Any) -> int:
            return ids.setdefault(value, len(ids))

        outputs = {number(r.inputs[0]): class_of(r.output) for r in tables["output"].rows}
        rows: list[Row] = []
        for name, symbol in self._symbols.items():
            made_by = {tuple(r.inputs): number(r.output) for r in tables[f"prov_{name}"].rows}
            split = symbol.num_classes
            for r in tables[name].rows:
                classes = tuple(class_of(v) for v in r.inputs[:split])
                columns = tuple(number(v) for v in r.inputs[split:])
                rule = made_by[tuple(r.inputs)]
                rows.append(Row(symbol, classes, columns, class_of(r.output), rule))
        collapsed: dict[int, tuple[int, ...]] = {}
        for r in tables["collapsed"].rows:
            c = class_of(r.inputs[0])
            collapsed[c] = (*collapsed.get(c, ()), number(r.inputs[1]))
        return Contents(
            rows=tuple(rows),
            types={class_of(r.inputs[0]): number(r.output) for r in tables["type"].rows},
            known={class_of(r.inputs[0]): number(r.output) for r in tables["known"].rows},
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


def _defaults() -> egg.Rule:
    """The rule that says of each class that nothing is known, and notes its type."""
    body: list[Any] = [_is(_var("t"), _call("type", _var("x")))]
    head: list[Any] = [
        egg.Set(_SPAN, "known", [_var("x")], _int(0)),
        egg.Expr_(_SPAN, _call("typed", _var("x"), _var("t"))),
    ]
    return egg.Rule(_SPAN, head, body, "defaults", "analysis")


def _type_unions() -> egg.Rule:
    """The rule that notes which types met in one class: Python must hold them equal."""
    body: list[Any] = [
        egg.Fact(_call("typed", _var("x"), _var("a"))),
        egg.Fact(_call("typed", _var("x"), _var("b"))),
        egg.Fact(_call("<", _var("a"), _var("b"))),
    ]
    head: list[Any] = [egg.Expr_(_SPAN, _call("types_united", _var("a"), _var("b")))]
    return egg.Rule(_SPAN, head, body, "type_unions", "analysis")


def _propagation(symbol: Symbol) -> egg.Rule:
    classes = [f"c{i}" for i in range(symbol.num_classes)]
    columns = [f"v{i}" for i in range(symbol.num_columns)]
    body: list[Any] = [_is(_var("e"), _term(Node("e", symbol, tuple(classes), tuple(columns))))]
    for c in classes:
        body.append(_is(_var(f"k_{c}"), _call("known", _var(c))))
        body.append(egg.Fact(_call(">", _var(f"k_{c}"), _int(0))))
    body.append(_is(_var("t"), _call("type", _var("e"))))
    body.append(egg.Fact(_call("static", _var("t"))))
    body.extend(egg.Fact(_call("static", _var(f"v{i}"))) for i in symbol.static_columns)
    known = _var(f"k_{classes[0]}") if symbol.copies else _int(1)
    head: list[Any] = [egg.Set(_SPAN, "known", [_var("e")], known)]
    return egg.Rule(_SPAN, head, body, f"propagate_{symbol.name}", "analysis")


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


def _pattern(rule: EngineRule) -> list[Any]:
    body: list[Any] = [_is(_var(n.result), _term(n)) for n in rule.body]
    for a, b in zip(rule.ordered, rule.ordered[1:], strict=False):
        body.append(_is(_var(a), _call("ordering-min", _var(a), _var(b))))
        body.append(egg.Fact(_call("!=", _var(a), _var(b))))
    return body


def _conditions(rule: EngineRule) -> list[Any]:
    body: list[Any] = [_is(_var(v), _call("type", _var(c))) for c, v in rule.types]
    body.extend(_is(_var(v), _call("known", _var(c))) for c, v in rule.known)
    for i, c in enumerate(rule.constants):
        body.append(_is(_var(f"constant{i}"), _call("known", _var(c))))
        body.append(egg.Fact(_call(">", _var(f"constant{i}"), _int(0))))
    for i, (c, literal) in enumerate(rule.literals):
        body.append(_is(_var(f"number{i}"), _call("known", _var(c))))
        body.append(egg.Fact(_call("number_is", _var(f"number{i}"), _int(literal))))
    return body


def _actions(rule: EngineRule) -> list[Any]:
    actions: list[Any] = []
    for new in rule.new:
        node = new.node
        result = _var(node.result)
        prov = f"prov_{node.symbol.name}"
        actions.append(egg.Let(_SPAN, node.result, _term(node)))
        actions.append(egg.Set(_SPAN, "type", [result], _var(new.type)))
        # The type goes in a second time: of two that meet in one class, `type` keeps one.
        actions.append(egg.Expr_(_SPAN, _call("typed", result, _var(new.type))))
        if new.known >= 0:
            known = _column(node.columns[new.known])
            actions.append(egg.Set(_SPAN, "known", [result], known))
        actions.append(egg.Set(_SPAN, prov, _arguments(node), _int(rule.index)))
    made = {new.node.result for new in rule.new}
    for left, right in rule.unions:
        if right not in made:
            collapsed = _call("collapsed", _var(left), _int(rule.index))
            actions.append(egg.Expr_(_SPAN, collapsed))
        actions.append(egg.Union(_SPAN, _var(left), _var(right)))
    return actions
