"""Why a rewrite does not apply to bindings: the first constraint, condition or type that fails.

`resolve` answers yes or no as fast as it can; here is the same walk, which tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from eqsat.ir import TensorType, Type
from eqsat.rules._dtypes import resolve, typings, unknown_dtypes
from eqsat.rules._language import AttrSpec, NumberSpec, ShapeSpec, Spec, TensorSpec
from eqsat.rules._resolve import (
    Bindings,
    Built,
    NotApplicableError,
    dtype_fits,
    same_type,
    try_build,
)
from eqsat.rules._rule import Condition, Rewrite
from eqsat.rules._terms import Compute, computed
from eqsat.shapes import Dim, EqsatError, Equal, Proof, prove


@dataclass(frozen=True, slots=True)
class Refusal:
    """What fails: `kind` as in a failure of matching, `depth` counts what held before it."""

    kind: str
    text: str
    depth: int
    variables: tuple[str, ...] = ()


def applied(
    rewrite: Rewrite, bindings: Bindings, expected: tuple[Type, ...]
) -> tuple[Built, ...] | Refusal:
    """Return the right side of a match, or what keeps the rule from applying.

    Where dtypes are not known, that is the first choice of them for which it does not apply.
    """
    unknown = unknown_dtypes(bindings)
    if not unknown:
        return _refusal(rewrite, bindings) or _why_not_built(rewrite, bindings, expected)
    for typed, types in typings(rewrite.lhs, bindings, expected):
        found = applied(rewrite, typed, types)
        if isinstance(found, Refusal):
            chosen = ", ".join(f"{typed.types[v].dtype} for {v}" for v in unknown)
            return replace(found, text=f"of unknown dtypes, one could be {chosen}: {found.text}")
    built = resolve(rewrite, bindings, expected)
    if built is not None:
        return built
    depth = len(rewrite.specs) + len(rewrite.conditions)
    what = f"what the right side needs depends on the dtype of {', '.join(unknown)}, not known here"
    return Refusal("dtype", what, depth, tuple(unknown))


def _refusal(rewrite: Rewrite, bindings: Bindings) -> Refusal | None:
    """Return the first constraint or condition of the guard that fails, None where all hold."""
    refused = _variables(rewrite.specs, bindings)
    if refused is not None:
        return refused
    for i, condition in enumerate(rewrite.conditions):
        text = _condition(condition, bindings)
        if text:
            return Refusal("guard", text, len(rewrite.specs) + i, condition.variables)
    return None


def _variables(specs: Mapping[str, Spec], bindings: Bindings) -> Refusal | None:
    letters: dict[str, tuple[Dim, str]] = {}
    for i, (name, spec) in enumerate(specs.items()):
        refused = None
        match spec:
            case TensorSpec():
                refused = _tensor(name, spec, bindings.types[name], letters, bindings)
            case NumberSpec():
                if name not in bindings.numbers:
                    text = f"{name} must be one number known at compile time"
                    refused = "number", text
            case AttrSpec() | ShapeSpec():
                pass
        if refused is not None:
            return Refusal(refused[0], refused[1], i, (name,))
    return None


def _tensor(
    name: str,
    spec: TensorSpec,
    ty: TensorType,
    letters: dict[str, tuple[Dim, str]],
    bindings: Bindings,
) -> tuple[str, str] | None:
    if not dtype_fits(spec.dtype, ty.dtype):
        return "dtype", f"{name} must be {spec.dtype}, it is {ty.dtype}"
    if spec.axes is None:
        return None
    count = len(spec.axes)
    axes = " ".join([*(["..."] if spec.leading else []), *map(str, spec.axes)])
    if ty.ndim < count or (ty.ndim > count and not spec.leading):
        return "shape", f"{name} must have the axes ({axes}), its rank is {ty.ndim}"
    for axis, dim in zip(spec.axes, ty.dims[ty.ndim - count :], strict=True):
        size, where = (axis, "") if isinstance(axis, int) else letters.setdefault(axis, (dim, name))
        proof = prove(Equal(size, dim), bindings.facts)
        if proof is not Proof.YES:
            found = f"it is {dim}" if proof is Proof.NO else f"it is {dim}: not provably equal"
            wanted = f"{axis} = {size} (from {where})" if where else str(axis)
            return "shape", f"axis {axis} of {name}: ({axes}) expects {wanted}, {found}"
    return None


def _condition(condition: Condition, bindings: Bindings) -> str:
    """Return why a condition fails, "" where it holds."""
    values = [bindings.value(a) if isinstance(a, str) else a for a in condition.arguments]
    said = (condition.fn.__doc__ or "").strip().partition("\n")[0]
    meaning = f": {said}" if said else ""
    try:
        holds = bool(condition.fn(*values))
    except EqsatError as error:
        return f"the condition {condition} cannot be evaluated: {error}"
    return "" if holds else f"the condition {condition} does not hold{meaning}"


def _why_not_built(
    rewrite: Rewrite, bindings: Bindings, expected: tuple[Type, ...]
) -> tuple[Built, ...] | Refusal:
    """Return the right side for a match whose guard holds, or why there is none."""
    depth = len(rewrite.specs) + len(rewrite.conditions)
    try:
        built = try_build(rewrite.rhs, bindings)
    except NotApplicableError:
        return Refusal("computed", _not_computed(rewrite, bindings), depth)
    except EqsatError as error:
        return Refusal("types", f"the right side is ill-typed: {error}", depth)
    for b, wanted in zip(built, expected, strict=True):
        if not same_type(b.type, wanted, bindings.facts):
            text = f"the right side has type {b.type}, not provably that of the left, {wanted}"
            return Refusal("types", text, depth + 1)
    return built


def _not_computed(rewrite: Rewrite, bindings: Bindings) -> str:
    for c in (c for t in rewrite.rhs for c in computed(t)):
        if _is_none(c, bindings):
            return f"{c}, which the right side needs, has no value here"
    return "a number of the right side does not fit the dtype beside it"


def _is_none(c: Compute, bindings: Bindings) -> bool:
    try:
        return c.fn(*(bindings.value(v) for v in c.variables)) is None
    except EqsatError:
        return True
