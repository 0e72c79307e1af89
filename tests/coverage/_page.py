"""docs/coverage.md, from the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.coverage._programs import Program
from tests.coverage._rows import Row, measured

_HEAD = """# What the peers rewrite, and we

Each line is a rewrite of another system, and the rules of ours (`docs/rules.md`) that do it, with a
program on which they fire. The estimates, in µs on the reference device, are of that program
optimized without these rules and with them; where another part of the optimizer does it, of the
program as given and optimized. `tests/coverage` checks each line, and the numbers of each program
against the interpreter."""


def coverage_markdown(peers: Mapping[str, Sequence[Row]]) -> str:
    """Return the page: a table for each peer, and the totals."""
    lines = [_HEAD, "", "| peer | rewrites for inference | covered |", "|---|---|---|"]
    lines += [_total(peer, rows) for peer, rows in peers.items()]
    for peer, rows in peers.items():
        lines += ["", f"## {peer}", "", "| rewrite | by | program | before | after |"]
        lines += ["|---|---|---|---|---|", *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _total(peer: str, rows: Sequence[Row]) -> str:
    wanted = [r for r in rows if r.is_inference or r.is_covered]
    covered = sum(r.is_covered for r in wanted)
    share = f"{covered} ({covered / len(wanted):.0%})" if wanted else "–"
    return f"| {peer} | {len(wanted)} | {share} |"


def _line(row: Row) -> str:
    if not row.is_covered:
        return f"| {row.rewrite} | – | {row.reason} | | |"
    by = row.mechanism or ", ".join(f"`{r}`" for r in row.rules)
    found = measured(row)
    before, after = f"{found.before_s * 1e6:.3g}", f"{found.after_s * 1e6:.3g}"
    return f"| {row.rewrite} | {by} | {_program(row)} | {before} | {after} |"


def _program(row: Row) -> str:
    text = str(row.program) if isinstance(row.program, Program) else "TVMScript in the test"
    return text.replace("|", "\\|")
