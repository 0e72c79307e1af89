"""A mutation fuzzer of TVMScript: whatever the text, reading it ends soon, in our errors or well.

    python -m tests.ir.script_mutants 100000        # this many mutants; prints what escaped

Each mutant follows from its number alone, so that one is repeated by `mutant(number)`.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType

from eqsat.ir import check_well_formed
from eqsat.ir._structural import structural_equal
from eqsat.ir.script import ParseError, parse_module, print_module
from eqsat.shapes import EqsatError

LIMIT_S = 10.0
"""A mutant that is read for longer hangs."""

_FILES = ("relax.txt", "tensorir.txt", "rejected.txt")
_WORDS = (
    "None", "-1", '""', "[", "]", "(", ")", "{", "}", ",", ":", "=", ".", "*", "**", "@", "->",
    "1e999", "-0.0", "'n'", "9" * 30, "9" * 5000, "10**30", "0x7fffffffffffffff", "1j", "...",
    "lambda", "lambda x: x", "R", "T", "I", "cls", "R.Tensor", "R.Tensor((10**30,))", "T.int64()",
    "R.shape([n, n])", "R.null_value()", "R.tuple()", "R.str('a')", "if", "else:", "for", "while",
    "def", "class", "return", "with", "pass", "yield", "await", "import os", "\\n", "\n", "    ",
    "\t", "\0", "\ud800", "\u202e", "\ufeff", "é", "𝒏", "名", "f'{1}'", "b'x'", '"""', "'", "#",
    "not", "and", "is", "in", "x if y else z", "[i for i in x]", "True", "False", "n * m * n",
    "metadata['ir.GenericConst'][0]", "R.const([[1, 2], [3]])", "R.const(1, 'float8_e4m3fn')",
    "float('nan')", "T.float32('inf')", "R.Prim('bool')", "R.Callable(ret=R.Any)",
    "-9223372036854775808",
)  # fmt: skip
_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


@cache
def corpus() -> tuple[str, ...]:
    """Return the programs that are mutated."""
    folder = Path(__file__).parent / "corpus"
    texts: list[str] = []
    for file in _FILES:
        parts = re.split(r"^#### .*\n", (folder / file).read_text(), flags=re.MULTILINE)
        texts += [p for p in parts if p.strip()]
    constants = "@R.function\ndef f(x: R.Tensor((2,), 'int8')):\n    y = R.const([1, 2], 'int8')\n"
    texts.append(print_module(parse_module(f"{constants}    return y")))
    return tuple(texts)


def mutant(number: int) -> str:
    """Return mutant `number`."""
    rng = random.Random(number)
    text = rng.choice(corpus())
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        text = rng.choice(_MUTATIONS)(rng, text)
    return text


def _tokens(rng: random.Random, text: str) -> str:
    tokens = _TOKEN.findall(text) or [" "]
    other = _TOKEN.findall(rng.choice(corpus()))
    at = rng.randrange(len(tokens))
    match rng.randrange(5):
        case 0:
            del tokens[at]
        case 1:
            tokens[at] = rng.choice(tokens)
        case 2:
            tokens.insert(at, rng.choice(other))
        case 3:
            tokens[at] = rng.choice(_WORDS)
        case _:
            tokens.insert(at, rng.choice(_WORDS))
    return "".join(tokens)


def _characters(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text) + 1)
    match rng.randrange(3):
        case 0:
            return text[:at] + text[at + 1 :]
        case 1:
            return (
                text[:at]
                + chr(rng.choice((rng.randrange(128), rng.randrange(0x11000))))
                + text[at:]
            )
        case _:
            end = min(len(text), at + rng.randrange(40))
            return text[:at] + text[end:]


def _lines(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, rng.choice(lines))
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = rng.choice(("", " ", "    ", "\t")) + lines[at].lstrip()
        case _:
            lines.insert(at, rng.choice(rng.choice(corpus()).split("\n")))
    return "\n".join(lines)


def _syntax(rng: random.Random, text: str) -> str:
    """Put one expression or statement of the tree in the place of another of its kind."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _tokens(rng, text)
    for kind in rng.sample((ast.expr, ast.stmt), 2):
        nodes = [n for n in ast.walk(tree) if isinstance(n, kind)]
        if len(nodes) > 1:
            target, source = rng.sample(nodes, 2)
            try:
                # A copy: a node that holds itself would never be written.
                swap = _Swap(target, copy.deepcopy(source))
                return ast.unparse(swap.visit(tree))
            except (ValueError, RecursionError, AttributeError, TypeError):
                return _tokens(rng, text)
    return text


class _Swap(ast.NodeTransformer):
    def __init__(self, target: ast.AST, source: ast.AST) -> None:
        self._target, self._source = target, source

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._target:
            return self._source
        return self.generic_visit(node)


def _repeat(rng: random.Random, text: str) -> str:
    """Nest or repeat something many times."""
    count = rng.choice((3, 50, 300, 3000))
    opening, closing = rng.choice(
        (("(", ")"), ("[", "]"), ("-", ""), ("R.Tuple(", ")"), ("not ", ""))
    )
    at = rng.randrange(len(text) + 1)
    end = min(len(text), at + rng.randrange(12))
    return text[:at] + opening * count + text[at:end] + closing * count + text[end:]


_MUTATIONS: tuple[Callable[[random.Random, str], str], ...] = (
    _tokens, _tokens, _tokens, _characters, _lines, _lines, _syntax, _syntax, _repeat,
)  # fmt: skip


class Hang(BaseException):
    """A mutant took longer than `LIMIT_S`."""


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise Hang


def outcome(text: str) -> str:
    """Read `text` as a user would; return what came of it.

    Raises:
        Exception: anything but this project's errors: that is what the fuzzer looks for.
    """
    try:
        module = parse_module(text)
    except EqsatError as error:
        return _refusal(error)
    try:
        check_well_formed(module)
    except EqsatError:
        return "not well-formed"
    assert structural_equal(module, parse_module(print_module(module))), "print is not read back"
    return "accepted"


def _refusal(error: EqsatError) -> str:
    """Return the kind of an error, which must name a place."""
    if isinstance(error, ParseError):
        assert min(error.span.line, error.span.column) >= 1, f"an error without a place: {error!r}"
    else:
        assert str(error).startswith("<script>:"), f"an error without a place: {error!r}"
    return type(error).__name__


def escapes(numbers: range) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Return the outcomes of these mutants, and the ones that crash or hang."""
    counts: Counter[str] = Counter()
    found: list[tuple[int, str]] = []
    before = signal.signal(signal.SIGALRM, _on_alarm)
    try:
        for number in numbers:
            text = mutant(number)
            signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
            try:
                counts[outcome(text)] += 1
            except (Exception, Hang):
                found.append((number, traceback.format_exc(limit=-3)))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    return counts, found


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100_000)
    parser.add_argument("--start", type=int, default=0)
    arguments = parser.parse_args()
    started = time.perf_counter()
    counts, found = escapes(range(arguments.start, arguments.start + arguments.count))
    for number, why in found:
        print(f"--- mutant {number}\n{why}")
    shown = ", ".join(f"{k}: {v}" for k, v in counts.most_common())
    elapsed = time.perf_counter() - started
    print(f"{arguments.count} mutants in {elapsed:.0f} s; {shown}; escaped: {len(found)}")


if __name__ == "__main__":
    main()
