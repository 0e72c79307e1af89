"""Adversarial small instances of a rule's left side: shapes, attributes, constants, dtypes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from eqsat.ir import (
    AttrValue,
    ObjectType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    op,
)
from eqsat.rules._draw import (
    BY_RANK,
    CHOICES,
    CUTS,
    DTYPES,
    FLOATS,
    INTEGERS,
    LONG,
    NARROW,
    OPERAND_DTYPES,
    ROLES,
    axes,
    broadcast_target,
    by_kind,
    full_target,
    held_by,
    over_axes,
    permutation,
    reshape_target,
    resize_target,
    size,
    subscripts,
)
from eqsat.rules._language import (
    AttrSpec,
    NumberSpec,
    ShapeSpec,
    TensorSpec,
)
from eqsat.rules._resolve import Bindings
from eqsat.rules._rule import EXACT, Rule
from eqsat.rules._terms import (
    AttrConst,
    AttrVar,
    NumberLit,
    OperandTerm,
    OpTerm,
    PatVar,
    ShapeVar,
    Term,
    TupleField,
    open_literals,
    subterms,
)
from eqsat.shapes import EqsatError, Shape, is_float, product

NUMBERS = (1.0, 2.0, -2.0, 0.5, 4.0, 3.0, 0.25, 0.125, -1.0, 6.0, 1 / 3, 1 / 6, 0.0, 12.0, 8.0)
BOOLEAN_FIRST = frozenset({"where", "logical_not"})
COMPARISONS = frozenset(
    {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan"}
)


@dataclass(slots=True)
class Instance:
    """A left side whose numbers became variables, and one way to bind everything in it."""

    lhs: tuple[Term, ...]
    bindings: Bindings
    literals: dict[str, float] = field(default_factory=dict[str, float])


class Sampler:
    """Draws instances of one rule."""

    def __init__(self, rule: Rule, lhs: Sequence[Term], rng: Random) -> None:
        self.rule = rule
        self.rng = rng
        self.lhs, self.literals = open_literals(lhs)
        self.booleans = _boolean_variables(self.lhs)
        self.roles = _roles(self.lhs)
        self.wanted_constants = frozenset(
            str(c.arguments[0]) for c in rule.when if c.fn.__name__ == "is_constant"
        )
        self.has_floats = any(
            isinstance(s, TensorSpec) and s.dtype == "float" for s in rule.specs.values()
        )
        self.has_casts = AttrSpec("dtype") in rule.specs.values()
        self.wants_image = any(
            isinstance(t, OpTerm) and t.op.startswith("nn.") and t.op.endswith("2d")
            for term in self.lhs
            for t in subterms(term)
        )

    def draw(self) -> Instance | None:
        """Return an instance whose left side is well typed, or None if this attempt is not."""
        rng = self.rng
        self.dtype = rng.choice(FLOATS if self.has_floats else OPERAND_DTYPES)
        self.integer = rng.choice(INTEGERS)
        self.cast = rng.choice(("float32", "float64"))
        self.zeros = 0.3 if rng.random() < 0.1 else 0.02
        self.base = self._base_shape()
        # Tensors that differ along one axis only are what concat takes.
        self.odd_axis = rng.randrange(len(self.base)) if self.base else 0
        self.letters: dict[str, int] = self._long_letter()
        self.types: dict[str, TensorType] = {}
        self.attrs: dict[str, AttrValue] = {}
        self.shapes: dict[str, Shape] = {}
        self.numbers: dict[str, float] = {}
        for name, spec in self.rule.specs.items():
            match spec:
                case TensorSpec():
                    self.types[name] = TensorType(self._shape(spec), self._dtype(name, spec))
                case NumberSpec():
                    self._number(name, self._some_number(name))
                case AttrSpec() | ShapeSpec():
                    pass
        for name, value in self.literals.items():
            self._number(name, value)
            self.types[name] = TensorType(self._literal_shape(), self.types[name].dtype)
        try:
            for term in self.lhs:
                self._walk(term)
        except (EqsatError, ValueError, IndexError):
            return None
        bindings = Bindings(self.types, self.attrs, self.shapes, self._constants(), self.numbers)
        return Instance(self.lhs, bindings, self.literals)

    def _long_letter(self) -> dict[str, int]:
        """Now and then an axis that two integer tensors share is long: sums may overflow."""
        tensors = [s for s in self.rule.specs.values() if isinstance(s, TensorSpec)]
        axes = [a for s in tensors if s.dtype == "int" for a in s.axes or () if isinstance(a, str)]
        shared = sorted({a for a in axes if axes.count(a) > 1})
        if not shared or self.rng.random() > 0.05:
            return {}
        self.base = self.base[:1]
        return dict.fromkeys(axes, 1) | {self.rng.choice(shared): LONG}

    # --- tensors ----------------------------------------------------------------------------

    def _size(self) -> int:
        return 0 if self.rng.random() < self.zeros else size(self.rng)

    def _letter(self) -> int:
        from_base = self.base and self.rng.random() < 0.3
        return self.rng.choice(self.base) if from_base else self._size()

    def _base_shape(self) -> tuple[int, ...]:
        rank = 4 if self.wants_image else self.rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))
        if self.rng.random() < 0.25:
            return (self._size(),) * rank
        return tuple(self._size() for _ in range(rank))

    def _shape(self, spec: TensorSpec) -> tuple[int, ...]:
        if spec.axes is not None:
            named = tuple(
                a if isinstance(a, int) else self.letters.setdefault(a, self._letter())
                for a in spec.axes
            )
            leading = self._like_base(self.base[:2]) if spec.leading else ()
            return (*leading, *named)
        kind = self.rng.random()
        if kind < 0.15 and self.base:
            odd = list(self.base)
            odd[self.odd_axis] = self.rng.choice((0, 1, 1, 2, 3))
            return tuple(odd)
        if kind < 0.5:
            return self.base
        if kind < 0.9:
            return self._like_base(self.base)
        return self._base_shape()

    def _like_base(self, base: tuple[int, ...]) -> tuple[int, ...]:
        start = self.rng.choice((0, 0, *range(len(base) + 1)))
        keep = self.rng.random() < 0.6
        return tuple(d if keep or self.rng.random() < 0.6 else 1 for d in base[start:])

    def _dtype(self, name: str, spec: TensorSpec) -> str:
        if name in self.booleans or spec.dtype == "bool":
            return "bool"
        if spec.dtype == "int":
            mixed = self.roles and self.rng.random() < 0.3
            return self.rng.choice(INTEGERS) if mixed else self.integer
        if spec.dtype not in (None, "float"):
            return spec.dtype
        return self.dtype

    def _number(self, name: str, value: float) -> None:
        dtype = "bool" if name in self.booleans else self.dtype
        if name in self.roles:
            dtype = self.rng.choice(self.roles[name][0])
        elif is_float(dtype) and self.has_casts:
            dtype = self.cast
        self.types[name] = TensorType(self.rng.choice(((), (), (1,), (1, 1))), dtype)
        self.numbers[name] = held_by(value, dtype)

    def _literal_shape(self) -> tuple[int, ...]:
        """Return any shape with an element: a literal also matches many equal ones."""
        shape = self.rng.choice(((), (), (), (1,), (1, 1), self._like_base(self.base), (2, 1)))
        return () if 0 in shape else shape

    def _some_number(self, name: str) -> float:
        if name in self.roles:
            return self.rng.choice(self.roles[name][1])
        if self.rule.numerics is EXACT and is_float(self.dtype) and self.rng.random() < 0.1:
            return self.rng.choice((math.inf, -math.inf, math.nan))
        return self.rng.choice((*NUMBERS, float(math.prod(self.base[-2:])), *map(float, self.base)))

    def _constants(self) -> frozenset[str]:
        if self.rng.random() < 0.7:
            return self.wanted_constants | frozenset(self.numbers)
        return frozenset(n for n in self.types if n in self.numbers or self.rng.random() < 0.5)

    # --- attributes -------------------------------------------------------------------------

    def _walk(self, term: Term) -> Type:
        match term:
            case PatVar(name):
                return self.types[name]
            case TupleField(inner, index):
                ty = self._walk(inner)
                assert isinstance(ty, TupleType)
                return ty.fields[index]
            case OpTerm():
                types = [self._operand(term.op, o) for o in term.operands]
                # `axis` decides which other attributes make sense.
                for attr_name, value in sorted(
                    term.attrs, key=lambda a: a[0] not in ("axis", "axes")
                ):
                    if isinstance(value, AttrVar) and value.name not in self.attrs:
                        self.attrs[value.name] = (
                            self._attr_or_none(term, attr_name, types, value.name)
                            if term.op != "eye"
                            else self._attr_of_eye(attr_name)
                        )
                for o, declared in zip(term.operands, op(term.op).operands, strict=True):
                    if isinstance(o, ShapeVar) and o.name not in self.shapes:
                        self.shapes[o.name] = self._target(term.op, types[0])
                        types[list(op(term.op).operands).index(declared)] = ShapeType(
                            self.shapes[o.name]
                        )
                attrs = {k: self._concrete(v) for k, v in term.attrs}
                return op(term.op).infer(types, attrs)
            case NumberLit():
                raise AssertionError("numbers were opened")

    def _concrete(self, value: object) -> AttrValue:
        if isinstance(value, AttrVar):
            return self.attrs[value.name]
        assert isinstance(value, AttrConst)
        return value.value

    def _operand(self, name: str, operand: OperandTerm) -> Type:
        match operand:
            case None:
                return ObjectType()
            case ShapeVar():
                return ShapeType(self.shapes.get(operand.name, ()))
            case tuple():
                return TupleType(tuple(self._walk(each) for each in operand))
            case PatVar() | OpTerm() | TupleField():
                return self._walk(operand)
            case _:
                raise AssertionError(f"{name} has an operand that cannot be matched")

    def _target(self, name: str, ty: Type) -> Shape:
        if name in ("full", "ones", "zeros"):
            return full_target(self.rng, self.base)
        assert isinstance(ty, TensorType)
        dims = tuple(d for d in ty.dims if isinstance(d, int))
        if name == "image.resize2d":
            return resize_target(self.rng, dims)
        if name == "broadcast_to":
            return broadcast_target(self.rng, dims, self.base)
        known = self._reshapes(dims)
        if known and self.rng.random() < 0.4:
            return self.rng.choice(known)
        return reshape_target(self.rng, dims)

    def _reshapes(self, dims: tuple[int, ...]) -> list[Shape]:
        """Return shapes of as many elements: those of variables, and axis 1 in named groups."""
        count = math.prod(dims)
        known = [ty.dims for ty in self.types.values() if product(ty.dims) == count]
        found: list[Shape] = [d for d in known if d != dims]
        if len(dims) > 2 and count:
            groups = [g for g in self.letters.values() if g and not dims[1] % g]
            found += [(dims[0], g, count // dims[0] // g) for g in groups]
        return found

    def _attr_of_eye(self, name: str) -> AttrValue:
        """Return an attribute of `eye`: its dtype or a size."""
        return self.dtype if name == "dtype" else self.rng.choice((2, *self.letters.values()))

    def _attr_or_none(self, term: OpTerm, name: str, types: list[Type], variable: str) -> AttrValue:
        declared = next(a for a in op(term.op).attrs if a.name == name)
        draws_none = (term.op, name) in CUTS
        if declared.optional and not draws_none and self.rng.random() < 0.05:
            return None
        return self._attr(term, name, types, variable)

    def _attr(self, term: OpTerm, name: str, types: list[Type], variable: str) -> AttrValue:
        spec = self.rule.specs[variable]
        assert isinstance(spec, AttrSpec)
        rank, dims = _rank_and_dims(types)
        match name:
            case "axes" if term.op == "permute_dims":
                return permutation(self.rng, rank)
            case "axis" | "axes" if spec.kind == "int":
                return self.rng.randrange(-rank, rank) if rank else 0
            case "axis" | "axes":
                same = [v for v in self.attrs.values() if _are_axes(v, rank)]
                if same and self.rng.random() < 0.4:
                    return self.rng.choice(same)
                return axes(self.rng, term.op, rank, dims)
            case "indices_or_sections":
                return self._sections(dims, term)
            case _ if (term.op, name) in CUTS:
                return self._cut(name, dims, term)
            case "end" | "step" if term.op == "arange":
                return self.rng.choice((1, 1, 2, 3) if name == "step" else (1, 2, 3, 4))
            case "subscripts":
                return subscripts(self.rng, types[0])
            case _ if name in BY_RANK:
                return BY_RANK[name](self.rng, rank)
            case "dtype" | "out_dtype":
                return self._some_dtype(term.op)
            case _ if name in CHOICES:
                return over_axes(term.op, self.rng.choice(CHOICES[name]))
            case _:
                return by_kind(self.rng, spec.kind)

    def _some_dtype(self, name: str) -> str:
        if name == "quantize":
            return self.rng.choice((self.integer, self.integer, "int8", "uint8"))
        if name == "dequantize":
            return self.rng.choice(("float32", "float32", "float32", "float16", "float64"))
        return self.rng.choice((self.dtype, self.cast, self.rng.choice((*DTYPES, *NARROW))))

    def _cut(self, name: str, dims: tuple[int, ...], term: OpTerm) -> AttrValue:
        if term.op == "slice_scatter":
            return self._written(name, dims, term)
        return self._slice_strides(term) if name == "strides" else self._bounds(name, dims, term)

    def _slice_strides(self, term: OpTerm) -> AttrValue:
        sliced = self._concrete(dict(term.attrs)["axes"])
        count = len(sliced) if isinstance(sliced, tuple) else 1
        return self.rng.choice((None, (1,) * count, (1,) * count, (2,) * count))

    def _sections(self, dims: tuple[int, ...], term: OpTerm) -> AttrValue:
        axis = self._concrete(dict(term.attrs)["axis"])
        extent = dims[axis] if isinstance(axis, int) else 0
        if self.rng.random() < 0.4:
            return self.rng.choice((2, 2, 3, 1, 4))
        cut = self._concat_cut(term, axis)
        if cut is not None and self.rng.random() < 0.6:
            return (cut,)
        cuts = self.rng.choice((1, 1, 2, 3))
        return tuple(sorted(self.rng.randint(0, extent) for _ in range(cuts)))

    def _concat_cut(self, term: OpTerm, axis: AttrValue) -> int | None:
        """Return where the first operand of a concat ends, if `term` reads one along `axis`."""
        inner = term.operands[0]
        if not (isinstance(inner, OpTerm) and inner.op == "concat" and isinstance(axis, int)):
            return None
        parts = inner.operands[0]
        joined = self._concrete(dict(inner.attrs)["axis"])
        assert isinstance(parts, tuple)
        first = self._walk(parts[0])
        assert isinstance(first, TensorType)
        if not isinstance(joined, int) or joined % first.ndim != axis % first.ndim:
            return None
        end = first.dims[joined]
        return end if isinstance(end, int) else None

    def _bounds(self, name: str, dims: tuple[int, ...], term: OpTerm) -> AttrValue:
        sliced = self._concrete(dict(term.attrs)["axes"])
        if not isinstance(sliced, tuple):
            return ()
        sizes = [dims[a] for a in sliced if isinstance(a, int)]
        cut = self._concat_cut(term, sliced[0])
        if cut is not None and len(sizes) == 1 and self.rng.random() < 0.7:
            return (self.rng.choice((0, cut) if name == "begin" else (cut, *sizes)),)
        whole = self.rng.random() < 0.5
        if not whole and self.rng.random() < 0.15:
            return tuple(self.rng.randint(-2, d + 2) for d in sizes)
        if name == "begin":
            return tuple(0 if whole else self.rng.randint(0, d) for d in sizes)
        return tuple(
            d + self.rng.choice((0, 0, 5)) if whole else self.rng.randint(0, d) for d in sizes
        )

    def _written(self, name: str, dims: tuple[int, ...], term: OpTerm) -> AttrValue:
        axis = self._concrete(dict(term.attrs)["axis"])
        extent = dims[axis] if isinstance(axis, int) else 0
        if self.rng.random() < 0.6:
            return {"start": 0, "end": extent, "step": 1}[name]
        return self.rng.choice((1, 2)) if name == "step" else self.rng.randint(0, extent)


def _are_axes(value: AttrValue, rank: int) -> bool:
    return isinstance(value, tuple) and all(isinstance(v, int) and -rank <= v < rank for v in value)


def _rank_and_dims(types: list[Type]) -> tuple[int, tuple[int, ...]]:
    if not types:  # arange
        return 0, ()
    first = types[0]
    if isinstance(first, TupleType):
        first = first.fields[0]
    if isinstance(first, ShapeType):  # what is created, with any value
        return 0, ()
    assert isinstance(first, TensorType)
    return first.ndim, tuple(d for d in first.dims if isinstance(d, int))


def _boolean_variables(terms: Sequence[Term]) -> frozenset[str]:
    names: set[str] = set()
    for term in itertools.chain.from_iterable(subterms(t) for t in terms):
        if isinstance(term, OpTerm) and term.op in BOOLEAN_FIRST:
            names |= {t.name for t in _leaves(term.operands[0]) if isinstance(t, PatVar)}
    return frozenset(names)


def _roles(terms: Sequence[Term]) -> dict[str, tuple[tuple[str, ...], tuple[float, ...]]]:
    """Return what numbers must be, by variable, because of where they stand."""
    return {
        operand.name: ROLES[term.op, position]
        for term in itertools.chain.from_iterable(subterms(t) for t in terms)
        if isinstance(term, OpTerm)
        for position, operand in enumerate(term.operands)
        if isinstance(operand, PatVar) and (term.op, position) in ROLES
    }


def _leaves(operand: OperandTerm) -> list[Term]:
    if isinstance(operand, OpTerm) and operand.op in COMPARISONS:
        return []
    return subterms(operand) if isinstance(operand, (PatVar, OpTerm, TupleField)) else []
