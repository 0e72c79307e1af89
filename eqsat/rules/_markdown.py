"""The rules as a page of documentation, from the same data."""

from __future__ import annotations

from collections.abc import Iterable

from eqsat.ir import Numerics, op
from eqsat.rules._check import Certificate, read_certificates
from eqsat.rules._library import OPTIONAL_RULE_SETS, SHIPPED_RULE_SETS
from eqsat.rules._rule import (
    Accuracy,
    Phase,
    Rule,
    RuleSet,
    types_agree,
)
from eqsat.rules._terms import AttrConst, NumberLit, OperandTerm, OpTerm, PatVar, Term, TupleField

_NUMERICS = {
    Numerics.EXACT: "bit-equal",
    Numerics.REASSOCIATING: "sums in another order",
    Numerics.ROUNDING: "rounds differently",
    Numerics.APPROXIMATE: "approximate",
}
_PHASES = {
    Phase.SIMPLIFY: "runs until nothing changes",
    Phase.EXPLORE: "adds alternatives for some rounds",
    Phase.MERGE: "runs once",
    Phase.NORMAL_FORM: "decided by a normal form, without search",
}
_CONTRACT = (
    "*Bit-equal* rules hold for NaN, infinities and the ends of integers; zeros of either sign",
    "count as equal. Rules that *sum in another order* or *round differently* take it for granted",
    "that no value of float32, bfloat16 or float64 on the way leaves the range of its dtype; that",
    "of float16 is so narrow that scales and quotients stay where they are.",
)
_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@"}


def rules_markdown(rule_sets: Iterable[RuleSet] = SHIPPED_RULE_SETS) -> str:
    """Return the page: a section per rule set, an entry per rule with guard and certificate."""
    sets = list(rule_sets)
    lines = ["# Rules", "", f"{sum(len(s.rules) for s in sets)} rules. Each was compared with both"]
    lines[-1] += " sides evaluated on small adversarial instances; the count is given with it."
    lines += ["", *_CONTRACT]
    for rule_set in sets:
        certificates = read_certificates(rule_set)
        when = _PHASES[rule_set.phase].capitalize()
        if rule_set in OPTIONAL_RULE_SETS:
            when = f'Opt-in: `rules=[*eqsat.default_rules(), "{rule_set.name}"]`. {when}'
        lines += ["", f"## {rule_set.name}", "", f"{when}."]
        for rule in rule_set.rules:
            lines += ["", *_entry(rule, certificates.get(rule.name))]
    return "\n".join(lines) + "\n"


def _entry(rule: Rule, certificate: Certificate | None) -> list[str]:
    lhs, rhs = rule.sides
    arrow = "=" if rule.both_ways else "→"
    sides = [f"    {term_text(a)}  {arrow}  {term_text(b)}" for a, b in zip(lhs, rhs, strict=True)]
    facts = [f"Source: {rule.source}.", f"Numerics: {_NUMERICS[rule.numerics]}."]
    if rule.accuracy is not None:
        facts.append(_accuracy(rule.accuracy))
    guards = [f"`{c}`" for c in rule.when if c is not types_agree]
    if guards:
        facts.append(f"When {', '.join(guards)}.")
    if certificate is not None:
        facts.append(f"Held on {certificate.fired} instances of {certificate.shapes} shapes.")
    return [f"### {rule.name}", "", *sides, "", " ".join(facts)]


def _accuracy(a: Accuracy) -> str:
    parts = [f"{a.absolute:.3g}"] if a.absolute else []
    parts += [f"{a.relative:.3g} L"] if a.relative else []
    return f"Off by at most {' + '.join(parts)} for values from {a.low:g} to {a.high:g}."


def term_text(term: Term, *, nested: bool = False) -> str:
    """Return a term as it is written in a rule, attributes left out that hold their default."""
    match term:
        case PatVar() | NumberLit():
            return str(term)
        case TupleField(inner, index):
            return f"{term_text(inner)}[{index}]"
        case OpTerm("negative", (operand,)):
            return f"-{_operand_text(operand)}"
        case OpTerm(name, (a, b)) if name in _INFIX:
            text = f"{_operand_text(a)} {_INFIX[name]} {_operand_text(b)}"
            return f"({text})" if nested else text
        case OpTerm():
            operands = [_operand_text(o, nested=False) for o in term.operands if o is not None]
            return f"{term.op}({', '.join([*operands, *_attrs_text(term)])})"


def _operand_text(operand: OperandTerm, *, nested: bool = True) -> str:
    match operand:
        case tuple():
            return f"[{', '.join(term_text(each) for each in operand)}]"
        case PatVar() | NumberLit() | OpTerm() | TupleField():
            return term_text(operand, nested=nested)
        case _:
            return str(operand)


def _attrs_text(term: OpTerm) -> list[str]:
    defaults = {a.name: a.default for a in op(term.op).attrs}
    return [
        f"{name}={value}"
        for name, value in term.attrs
        if not (isinstance(value, AttrConst) and value.value == defaults[name])
    ]
