"""Random programs with branches, recursion, closures and tuples, as TVMScript made from a seed.

All numbers are small and whole, so that every way to run a program gives the same bits.

    python -m tests.random_control_flow FIRST COUNT    # compiled and optimized against interpreted
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

import eqsat
import eqsat.ir

VECTOR = 'R.Tensor((n,), "float32")'
COUNTER = 'R.Tensor((), "int64")'
SIGNATURE = 'R.Tensor(("n",), "float32")'
BINARY = ("add", "subtract", "maximum", "minimum")
LIMITS = eqsat.Limits(num_nodes=2_000, time_s=2.0, iterations=4)


@dataclass
class Scope:
    """What a body may read, and its lines so far."""

    vectors: list[str]
    conditions: list[str]
    functions: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def inner(self) -> Scope:
        return Scope([*self.vectors], [*self.conditions], [*self.functions])


class Maker:
    """Writes one module."""

    def __init__(self, seed: int, num_statements: int) -> None:
        self.random = Random(seed)
        self.num_statements = num_statements
        self.count = 0
        self.helpers: list[tuple[str, str]] = []  # (name, text)
        self.loops: list[tuple[str, str]] = []

    def name(self, prefix: str = "v") -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def module(self) -> str:
        for _ in range(self.random.randint(1, 2)):
            self.helper()
        for _ in range(self.random.randint(1, 2)):
            self.loop()
        scope = Scope(["x", "y"], ["c", "d"])
        self.block(scope, self.num_statements, depth=0)
        results = [self.pick(scope) for _ in range(3)]
        nested = f"({results[0]}, ({results[1]}, {results[2]}), {results[0]})"
        main = self.function(
            "main",
            f'c: R.Tensor((), "bool"), d: R.Tensor((), "bool"), k: {COUNTER}, '
            f"x: {SIGNATURE}, y: {SIGNATURE}",
            scope.lines,
            nested,
            "",
        )
        texts = [text for _, text in (*self.helpers, *self.loops)]
        body = "\n\n".join([*texts, main])
        return f"@I.ir_module\nclass Module:\n{body}\n"

    def function(self, name: str, params: str, lines: list[str], result: str, returns: str) -> str:
        private = "" if name == "main" else "(private=True)"
        head = [f"@R.function{private}", f"def {name}({params}){returns}:"]
        inside = ["n = T.int64()", "cls = Module", *lines, f"return {result}"]
        return "\n".join(f"    {line}" for line in [*head, *(f"    {i}" for i in inside)])

    def helper(self) -> None:
        name = self.name("helper")
        scope = Scope(["a", "b"], [])
        self.block(scope, self.random.randint(1, 6), depth=1, calls=False)
        params = f"a: {SIGNATURE}, b: {SIGNATURE}"
        text = self.function(name, params, scope.lines, self.pick(scope), f" -> {SIGNATURE}")
        self.helpers.append((name, text))

    def loop(self) -> None:
        """Add a function that calls itself `k` times."""
        name, scope = self.name("loop"), Scope(["a"], [])
        scope.lines.append('done = R.less_equal(k, R.const(0, "int64"))')
        inner = scope.inner()
        self.block(inner, self.random.randint(1, 4), depth=1, calls=False)
        inner.lines.append('less = R.subtract(k, R.const(1, "int64"))')
        again = f"cls.{name}({self.bounded(inner)}, less)"
        if self.random.random() < 0.5:
            inner.lines.append(f"again = {again}")
            again = f"R.{self.random.choice(BINARY)}(again, {self.pick(inner)})"
        inner.lines.append(f"r = {again}")
        scope.lines += ["if done:", "    r = a", "else:", *(f"    {i}" for i in inner.lines)]
        params = f"a: {SIGNATURE}, k: {COUNTER}"
        self.loops.append((name, self.function(name, params, scope.lines, "r", f" -> {SIGNATURE}")))

    # --- bodies -----------------------------------------------------------------------------

    def pick(self, scope: Scope) -> str:
        return self.random.choice(scope.vectors[-4:])

    def bounded(self, scope: Scope) -> str:
        """Return a vector whose numbers stay small however often this runs."""
        v = self.name()
        scope.lines.append(f"{v} = R.clip({self.pick(scope)}, -9, 9)")
        return v

    def block(self, scope: Scope, num_statements: int, depth: int, calls: bool = True) -> None:
        kinds = [self.operator, self.operator, self.condition, self.tuple_, self.sizes]
        if depth < 3:
            kinds += [self.branch, self.branch]
        if depth < 2:
            kinds += [self.closure]
        if calls:
            kinds += [self.call, self.call]
        for _ in range(num_statements):
            self.random.choice(kinds)(scope, depth)

    def operator(self, scope: Scope, depth: int) -> None:
        v = self.name()
        if self.random.random() < 0.3:
            scope.lines.append(
                f"{v} = R.{self.random.choice(('negative', 'abs'))}({self.pick(scope)})"
            )
        else:
            op = self.random.choice(BINARY)
            scope.lines.append(f"{v} = R.{op}({self.pick(scope)}, {self.pick(scope)})")
        scope.vectors.append(v)

    def condition(self, scope: Scope, depth: int) -> None:
        c = self.name("c")
        limit = self.random.randint(-3, 3)
        scope.lines.append(
            f'{c} = R.greater(R.sum({self.pick(scope)}), R.const({limit}.0, "float32"))'
        )
        scope.conditions.append(c)

    def tuple_(self, scope: Scope, depth: int) -> None:
        t, v = self.name("t"), self.name()
        fields = [self.pick(scope) for _ in range(3)]
        scope.lines += [f"{t} = ({', '.join(fields)})", f"{v} = {t}[{self.random.randint(0, 2)}]"]
        scope.vectors.append(v)

    def sizes(self, scope: Scope, depth: int) -> None:
        """Two sizes by a condition, then a name for the one that came."""
        if not scope.conditions:
            self.condition(scope, depth)
        c, u, m, w, s, v = (self.name(p) for p in ("c", "u", "m", "w", "s", "v"))
        a, b = self.pick(scope), self.pick(scope)
        scope.lines += [
            f"{c} = R.logical_not({self.random.choice(scope.conditions)})",
            f"if {c}:",
            f"    {u} = R.concat(({a}, {b}), axis=0)",
            "else:",
            f"    {u} = R.strided_slice({a}, axes=[0], begin=[0], end=[1], assume_inbound=False)",
            f"{m} = T.int64()",
            f'{w} = R.match_cast({u}, R.Tensor(({m},), "float32"))',
            f"{s} = R.clip(R.sum(R.maximum({w}, R.negative({w}))), -9, 9)",
            f"{v} = R.add({b}, {s})",
        ]
        scope.vectors.append(v)

    def branch(self, scope: Scope, depth: int) -> None:
        if not scope.conditions:
            self.condition(scope, depth)
        c, r = self.random.choice(scope.conditions), self.name("r")
        scope.lines.append(f"if {c}:")
        for k in range(2):
            inner = scope.inner()
            self.block(inner, self.random.randint(0, 3), depth + 1, calls=depth == 0)
            inner.lines.append(f"{r} = {self.pick(inner)}")
            scope.lines += [f"    {line}" for line in inner.lines]
            if k == 0:
                scope.lines.append("else:")
        scope.vectors.append(r)

    def closure(self, scope: Scope, depth: int) -> None:
        f, p, v, w = self.name("f"), self.name("p"), self.name(), self.name()
        inner = scope.inner()
        inner.vectors.append(p)
        self.block(inner, self.random.randint(1, 3), depth + 1, calls=False)
        result = self.bounded(inner)
        scope.lines += [
            "@R.function",
            f"def {f}({p}: {VECTOR}) -> {VECTOR}:",
            *(f"    {line}" for line in inner.lines),
            f"    return {result}",
            f"{v} = {f}({self.pick(scope)})",
            f"{w} = {f}({v})",
        ]
        scope.vectors += [v, w]

    def call(self, scope: Scope, depth: int) -> None:
        v = self.name()
        if self.random.random() < 0.5:
            name = self.random.choice(self.helpers)[0]
            scope.lines.append(f"{v} = cls.{name}({self.pick(scope)}, {self.pick(scope)})")
        else:
            name = self.random.choice(self.loops)[0]
            scope.lines.append(f"{v} = cls.{name}({self.bounded(scope)}, k)")
        w = self.name()
        scope.lines.append(f"{w} = R.clip({v}, -9, 9)")
        scope.vectors.append(w)


def make(seed: int) -> str:
    """Return the program of a seed."""
    return Maker(seed, 3 + seed % 6).module()


def arguments(seed: int) -> list[tuple[Any, ...]]:
    """Return the arguments of a few calls."""
    rng = np.random.default_rng(seed)
    calls: list[tuple[Any, ...]] = []
    for c, d, n in ((True, False, 1), (False, True, 5), (True, True, 8)):
        x, y = (rng.integers(-4, 5, n).astype(np.float32) for _ in range(2))
        k = np.asarray(rng.integers(0, 4), np.int64)
        calls.append((np.asarray(c), np.asarray(d), k, x, y))
    return calls


def flat(value: Any) -> list[Any]:
    return [a for v in value for a in flat(v)] if isinstance(value, tuple) else [value]


def check(seed: int, *, optimized: bool) -> None:
    """Compare a program compiled, optimized or not, with what it means."""
    module = eqsat.from_tvmscript(make(seed))
    eqsat.ir.check_well_formed(module)
    program: Any = module
    if optimized:
        program = eqsat.optimize(module, limits=LIMITS, num_threads=1)
        eqsat.ir.check_well_formed(program.module)
    exe = eqsat.compile(program, num_threads=1)
    for args in arguments(seed):
        got, wanted = flat(exe(*args)), flat(eqsat.interpret(module, *args))
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(g, w, err_msg=f"seed {seed}\n{make(seed)}")


def main(first: int, count: int) -> None:
    for seed in range(first, first + count):
        for optimized in (False, True):
            check(seed, optimized=optimized)
        print(seed, flush=True)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:]))
