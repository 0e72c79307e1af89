"""The text being read: places in it, and errors that show them."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from eqsat.ir._expr import Span
from eqsat.shapes import EqsatError

MAX_DEPTH = 200
"""How deep statements and expressions may nest."""

_MAX_CARETS = 60
_TYPE_PARAMS = re.compile(r"\bdef[ \t]+\w+[ \t]*\[")


class ParseError(EqsatError):
    """A text that is not a program; the message shows the line and a caret.

    `span` is the place, `reason` the message without it.
    """

    def __init__(self, message: str, span: Span, reason: str) -> None:
        super().__init__(message)
        self.span = span
        self.reason = reason

    @property
    def line(self) -> int:
        """The line, from 1."""
        return self.span.line

    @property
    def column(self) -> int:
        """The column, from 1."""
        return self.span.column


class Source:
    """A text with a name."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.type_params: dict[int, list[str]] = {}
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")

    def line_text(self, line: int) -> str:
        """Return line `line` (from 1), empty where there is none."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""

    def span(self, node: ast.AST) -> Span:
        """Return the place of a syntax node."""
        line = getattr(node, "lineno", 1)
        text = self.line_text(line)
        start = _column(text, getattr(node, "col_offset", 0))
        end_line = getattr(node, "end_lineno", line)
        end_offset: int | None = getattr(node, "end_col_offset", None)
        same_line = end_line == line and end_offset is not None
        end = _column(text, end_offset) if same_line and end_offset is not None else len(text) + 1
        return Span(self.name, line, start, max(end, start + 1))

    def excerpt(self, span: Span) -> str:
        """Return the line of `span` with carets under it."""
        number = str(span.line)
        text = self.line_text(span.line).replace("\t", " ")
        width = min(span.end_column, len(text.rstrip()) + 1) - span.column
        carets = "^" * max(1, min(width, _MAX_CARETS))
        return f"  {number} | {text}\n  {' ' * len(number)} | {' ' * (span.column - 1)}{carets}"

    def error_at(self, span: Span, reason: str) -> ParseError:
        """Return the error for a place."""
        message = f"{self.name}:{span.line}:{span.column}: {reason}\n{self.excerpt(span)}"
        return ParseError(message, span, reason)

    def error(self, node: ast.AST, reason: str) -> ParseError:
        """Return the error for a syntax node."""
        return self.error_at(self.span(node), reason)

    def locate(self, error: EqsatError, node: ast.AST) -> EqsatError:
        """Return `error` with the place put before its message, once."""
        if isinstance(error, ParseError) or getattr(error, "_located", False):
            return error
        span = self.span(node)
        first = str(error.args[0]) if error.args else ""
        error.args = (f"{self.name}:{span.line}:{span.column}: {first}", *error.args[1:])
        error.add_note(self.excerpt(span))
        error._located = True  # pyright: ignore[reportAttributeAccessIssue]  # marks it for the outer readers
        return error

    def tree(self) -> ast.Module:
        """Return the syntax tree of the whole text.

        Raises:
            ParseError: it is not Python syntax, or nests too deeply.
        """
        try:
            with warnings.catch_warnings():
                # An odd escape in a string of the text is the text's business.
                warnings.simplefilter("ignore")
                tree = ast.parse(self._without_type_params())
        except SyntaxError as error:
            line = error.lineno or 1
            column = max(error.offset or 1, 1)
            span = Span(self.name, line, column, column + 1)
            raise self.error_at(span, f"not Python syntax: {error.msg}") from None
        except (ValueError, MemoryError, RecursionError) as error:
            span = Span(self.name, 1, 1, 2)
            why = f"not Python syntax: {error}"
            if not isinstance(error, ValueError):
                why = "the text nests too deeply; bind parts to names"
            raise self.error_at(span, why) from None
        self._check_depth(tree)
        return tree

    def _without_type_params(self) -> str:
        """Return the text with `[n, m]` after a function's name blanked: any Python reads that.

        The names are kept in `type_params` by the line of the `def`.
        """
        if not _TYPE_PARAMS.search(self.text):
            return self.text
        lines = [list(line) for line in self.lines]
        for start, names, (first, last) in _type_param_lists("\n".join(self.lines)):
            self.type_params[start] = names
            for number in range(first[0], last[0] + 1):
                line = lines[number - 1]
                begin = first[1] if number == first[0] else 0
                end = last[1] if number == last[0] else len(line)
                line[begin:end] = " " * (end - begin)
        return "\n".join("".join(line) for line in lines)

    def _check_depth(self, tree: ast.Module) -> None:
        level: list[ast.AST] = [tree]
        for _ in range(MAX_DEPTH):
            level = [child for node in level for child in ast.iter_child_nodes(node)]
            if not level:
                return
        deepest = next((node for node in level if hasattr(node, "lineno")), tree)
        raise self.error(deepest, f"nested deeper than {MAX_DEPTH} levels; bind parts to names")


def _column(line: str, byte_offset: int) -> int:
    if line.isascii():
        return byte_offset + 1
    prefix = line.encode("utf-8", "surrogatepass")[:byte_offset]
    return len(prefix.decode("utf-8", "ignore")) + 1


_Place = tuple[int, int]


def _type_param_lists(text: str) -> Iterator[tuple[int, list[str], tuple[_Place, _Place]]]:
    """Yield the line, the names and the extent of every list of type parameters after a `def`."""
    tokens = _tokens(text)
    for at, token in enumerate(tokens[:-2]):
        if token.string != "def" or tokens[at + 2].string != "[":
            continue
        depth, names, expects_name = 0, list[str](), True
        for inner in tokens[at + 2 :]:
            depth += (inner.string in ("[", "(")) - (inner.string in ("]", ")"))
            if depth == 0:
                yield token.start[0], names, (tokens[at + 2].start, inner.end)
                break
            if depth == 1 and inner.string == ",":
                expects_name = True
            elif inner.type == tokenize.NAME and expects_name:
                names.append(inner.string)
                expects_name = False


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    found: list[tokenize.TokenInfo] = []
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # shown when the text is parsed
        found.extend(tokenize.generate_tokens(io.StringIO(text).readline))
    return [t for t in found if t.type not in (tokenize.NL, tokenize.COMMENT)]
