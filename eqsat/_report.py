"""The report of an optimization, as data, text, JSON and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import Any

from eqsat._snapshot import Cover, Kernel


@dataclass(frozen=True, slots=True)
class PhaseTime:
    """Wall-clock time of one phase, in seconds."""

    name: str
    time_s: float


@dataclass(frozen=True, slots=True)
class RuleGain:
    """A rule in the chosen program.

    Attributes:
        num_nodes: e-nodes it made that are used.
        gain_s: the estimated time that is lost without it, in seconds.
    """

    rule: str
    num_nodes: int
    gain_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What `optimize` did.

    Attributes:
        num_operators: operator calls in the program given.
        num_kernels_before: kernels of the program as given, one per operator.
        num_kernels: kernels of the best program.
        estimate_before_s: estimated time of the program as given, in seconds.
        estimate_s: estimated time of the best program, in seconds.
        gap: how far from the proven optimum at most, as a fraction.
        num_nodes, num_classes: size of the e-graph.
        stop: why saturation stopped.
        num_parts: the straight-line parts of the program, over which all is summed.
        sketches: the sketches that guided the search, with the number of parts that reached each.
    """

    num_operators: int
    num_kernels_before: int
    num_kernels: int
    estimate_before_s: float
    estimate_s: float
    gap: float
    num_nodes: int
    num_classes: int
    stop: str
    matches: Mapping[str, int]
    templates: Mapping[str, int]
    phases: tuple[PhaseTime, ...]
    gains: tuple[RuleGain, ...] = ()
    num_parts: int = 1
    sketches: Mapping[str, int] = field(default_factory=dict[str, int])

    @staticmethod
    def of(
        *,
        saturation: Any,
        before: Cover,
        after: Cover,
        operators: Counter[str],
        phases: tuple[PhaseTime, ...],
        sketches: Sequence[str],
    ) -> Report:
        """Return the report of a saturation and the covers before and after it."""
        return Report(
            num_operators=operators.total(),
            num_kernels_before=len(_launched(before)),
            num_kernels=len(_launched(after)),
            estimate_before_s=before.time_s,
            estimate_s=after.time_s,
            gap=after.gap,
            num_nodes=saturation.num_nodes,
            num_classes=saturation.num_classes,
            stop=saturation.stop,
            matches=dict(saturation.matches),
            templates=dict(Counter(k.template for k in _launched(after))),
            phases=phases,
            sketches=dict(Counter(sketches)),
        )

    @staticmethod
    def sum(reports: Sequence[Report], phases: tuple[PhaseTime, ...]) -> Report:
        """Return the report of a module from those of its parts."""
        matches: Counter[str] = Counter()
        templates: Counter[str] = Counter()
        sketches: Counter[str] = Counter()
        for r in reports:
            sketches.update(r.sketches)
            matches.update(r.matches)
            templates.update(r.templates)
        total_s = sum(r.estimate_s for r in reports)
        open_s = sum(r.gap * r.estimate_s for r in reports)
        limits = [r.stop for r in reports if r.stop != "saturated"]
        return Report(
            num_operators=sum(r.num_operators for r in reports),
            num_kernels_before=sum(r.num_kernels_before for r in reports),
            num_kernels=sum(r.num_kernels for r in reports),
            estimate_before_s=sum(r.estimate_before_s for r in reports),
            estimate_s=total_s,
            gap=open_s / total_s if total_s > 0 else 0.0,
            num_nodes=sum(r.num_nodes for r in reports),
            num_classes=sum(r.num_classes for r in reports),
            stop=limits[0] if limits else "saturated",
            matches=dict(matches),
            templates=dict(templates),
            phases=phases,
            num_parts=len(reports),
            sketches=dict(sketches),
        )

    def with_gains(self, gains: tuple[RuleGain, ...]) -> Report:
        """Return the report with the worth of each rule."""
        return replace(self, gains=gains)

    @property
    def time_s(self) -> float:
        """Wall-clock time of the whole optimization, in seconds."""
        return sum(p.time_s for p in self.phases)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {**asdict(self), "time_s": self.time_s}

    def rows(self) -> list[tuple[str, str]]:
        """Return the lines of the summary: what, and how much with its unit."""
        kernels = ", ".join(
            f"{n} {t}" for t, n in sorted(self.templates.items(), key=lambda i: -i[1])
        )
        parts = [("parts", str(self.num_parts))] if self.num_parts != 1 else []
        return [
            *parts,
            ("operators", str(self.num_operators)),
            ("kernels before", str(self.num_kernels_before)),
            ("kernels after", f"{self.num_kernels} ({kernels})"),
            ("estimated time before", f"{self.estimate_before_s * 1e3:.3f} ms"),
            ("estimated time after", f"{self.estimate_s * 1e3:.3f} ms"),
            ("proven gap", f"{self.gap:.2%}"),
            ("e-graph", f"{self.num_nodes} e-nodes in {self.num_classes} e-classes"),
            ("saturation stopped", self.stop),
            *(("by sketch", f"{s} in {n} of the parts") for s, n in self.sketches.items()),
            *((f"time to {p.name}", f"{p.time_s:.2f} s") for p in self.phases),
        ]

    def gain_rows(self) -> list[tuple[str, str, str]]:
        """Return a line for each rule: name, e-nodes used, estimated gain."""
        return [(g.rule, str(g.num_nodes), f"{g.gain_s * 1e6:+.1f} µs") for g in self.gains]

    def as_text(self) -> str:
        """Return the summary, and the rules where their worth was computed, as plain text."""
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value}" for name, value in rows]
        if self.gains:
            lines += ["", "rule, e-nodes used, estimated time lost without it:"]
            name_width = max(len(g.rule) for g in self.gains)
            lines += [f"  {r:<{name_width}}  {n:>4}  {g:>12}" for r, n, g in self.gain_rows()]
        return "\n".join(lines)

    def as_html(self) -> str:
        """Return the summary as an HTML table."""
        body = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in self.rows())
        return f"<table>{body}</table>"

    def __rich__(self) -> Any:
        from rich.table import Table

        table = Table("", "", show_header=False, title="eqsat optimize")
        for name, value in self.rows():
            table.add_row(name, value)
        return table


def _launched(cover: Cover) -> list[Kernel]:
    """Return the kernels that run: a view of a tensor in memory moves nothing."""
    return [k for k in cover.kernels if not k.is_alias]
