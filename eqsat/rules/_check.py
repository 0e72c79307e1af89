"""Checks all rules of the sets given, and keeps the certificates of those that ship.

`eqsat rules check` is the command; `python -m eqsat.rules._check` does the same for our rules.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import cache
from pathlib import Path

from eqsat.rules._library import SHIPPED_RULE_SETS, load_rules
from eqsat.rules._rule import RuleSet
from eqsat.rules._verify import SEED, Certificate, Kind, Rejection, check_rule

__all__ = ["Certificate", "Kind", "Rejection", "Verdict", "check_all", "check_files", "check_rule"]

CERTIFICATES = Path(__file__).parent / "certificates"
FEW = 24  # rules that one process checks before others would have started

Verdict = Certificate | Rejection
Progress = Callable[[str, float], None]


def check_all(rule_sets: Iterable[RuleSet] = SHIPPED_RULE_SETS, seed: int = SEED) -> list[Verdict]:
    """Check every rule of the sets, in order."""
    return [check_rule(rule, seed) for each in rule_sets for rule in each.rules]


# --- in several processes -------------------------------------------------------------------


def _ignored(what: str, fraction: float) -> None:
    pass


@cache
def _sets(files: tuple[Path, ...]) -> tuple[RuleSet, ...]:
    return tuple(s for f in files for s in load_rules(f)) if files else SHIPPED_RULE_SETS


def _check_one(files: tuple[Path, ...], set_index: int, rule_index: int) -> Verdict:
    return check_rule(_sets(files)[set_index].rules[rule_index])


def check_files(
    files: Sequence[Path] = (), *, processes: int | None = None, progress: Progress = _ignored
) -> list[tuple[RuleSet, list[Verdict]]]:
    """Check the rules that the files define, or ours where there are none, in several processes.

    Raises:
        RuleError: a file or a rule is not well formed.
    """
    sets = _sets(tuple(files))
    places = [(i, j) for i, s in enumerate(sets) for j in range(len(s.rules))]
    workers = processes or min(os.cpu_count() or 1, max(1, len(places) // FEW))
    verdicts: list[Verdict] = []
    for verdict in _verdicts(tuple(files), places, workers):
        verdicts.append(verdict)
        progress(verdict.rule, len(verdicts) / len(places))
    found = iter(verdicts)
    return [(s, [next(found) for _ in s.rules]) for s in sets]


def _verdicts(
    files: tuple[Path, ...], places: list[tuple[int, int]], workers: int
) -> Iterable[Verdict]:
    if workers == 1:
        yield from (_check_one(files, i, j) for i, j in places)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        tasks = [pool.submit(_check_one, files, i, j) for i, j in places]
        yield from (task.result() for task in tasks)


# --- certificates ---------------------------------------------------------------------------


def write_certificates(
    checked: Iterable[tuple[RuleSet, list[Verdict]]], folder: Path = CERTIFICATES
) -> None:
    """Write the certificates among the verdicts, one JSON file per rule set."""
    folder.mkdir(parents=True, exist_ok=True)
    for rule_set, verdicts in checked:
        kept = [asdict(v) for v in verdicts if isinstance(v, Certificate)]
        text = json.dumps(kept, indent=1, sort_keys=True) + "\n"
        (folder / f"{rule_set.name}.json").write_text(text)


def read_certificates(rule_set: RuleSet, folder: Path = CERTIFICATES) -> dict[str, Certificate]:
    """Return the certificates kept for a rule set, by rule."""
    file = folder / f"{rule_set.name}.json"
    if not file.exists():
        return {}
    return {c["rule"]: Certificate(**c) for c in json.loads(file.read_text())}


# --- as text --------------------------------------------------------------------------------


def table(checked: Iterable[tuple[RuleSet, list[Verdict]]]) -> str:
    """Return one line per rule: the verdict, how often it was tried, and idle conditions."""
    lines = [f"{'rule':<58}{'instances':>10}{'shapes':>8}{'symbolic':>9}  verdict"]
    for rule_set, verdicts in checked:
        for v in verdicts:
            name = f"{rule_set.name}.{v.rule}"
            if isinstance(v, Rejection):
                lines.append(f"{name:<58}{'':>27}  REJECTED ({v.kind.value})")
                continue
            counts = f"{v.fired:>10}{v.shapes:>8}{v.symbolic:>9}"
            idle = f"holds, without {', '.join(v.idle)} too" if v.idle else "holds"
            lines.append(f"{name:<58}{counts}  {idle}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Check all shipped rules; return the number of those rejected or with an idle guard."""
    checked = check_files()
    if "--write" in arguments:
        write_certificates(checked)
    verdicts = [v for _, each in checked for v in each]
    bad = [v for v in verdicts if isinstance(v, Rejection) or v.idle]
    print(f"{len(verdicts) - len(bad)} of {len(verdicts)} rules hold with every condition needed")
    for v in bad:
        print(v if isinstance(v, Rejection) else f"rule {v.rule}: not needed: {', '.join(v.idle)}")
    return len(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
