"""Random calls on distributed tensors: TVM places the results as they are placed here."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from eqsat.ir import DeviceMesh, DTensorType, Placement, TensorType, Var, make_call, op
from eqsat.shapes import Dim, EqsatError, SymDim, product, sym

pytestmark = pytest.mark.peer
tvm = pytest.importorskip("tvm", reason="TVM is not installed")

NUM_CALLS = 1500
CHOSEN_THERE = ("is not certain", "would cut one axis of the result")
"""Why a call is refused here where TVM chooses one of several placements."""
MESHES = (
    DeviceMesh((2, 2), (0, 1, 2, 3)),
    DeviceMesh((2,), (0, 1)),
    DeviceMesh((2, 1, 2), (0, 1, 2, 3)),
)
SIZES: tuple[Dim, ...] = (1, 2, 4, sym("n"))

Dims = list[Dim]
Given = tuple[str, list[DTensorType], dict[str, Any]]


def dims(rng: random.Random, least: int = 0) -> Dims:
    return [rng.choice(SIZES) for _ in range(rng.randint(least, 3))]


def shorter(rng: random.Random, shape: Dims) -> Dims:
    """Return dims that broadcast to `shape`."""
    return [d if rng.random() < 0.7 else 1 for d in shape[rng.randint(0, len(shape)) :]]


def on(rng: random.Random, mesh: DeviceMesh, shape: Dims) -> DTensorType:
    cuts = tuple(rng.choice((None, *range(len(shape)))) for _ in mesh.shape)
    return DTensorType(TensorType(tuple(shape), "float32"), mesh, Placement(cuts))


def reshaped(rng: random.Random, shape: Dims) -> Dims:
    """Return `shape` with axes joined, cut in two, or axes of one element put in."""
    cut = rng.randint(0, len(shape))
    joined = [product(shape[:cut]), *shape[cut:]] if rng.random() < 0.5 else shape
    parts = [[2, 2] if d == 4 and rng.random() < 0.5 else [d] for d in joined]
    return [d for part in parts for d in (part if rng.random() < 0.8 else [*part, 1])]


def drawn(rng: random.Random) -> Given:
    """Return an operator's name, the types of its tensors, and its attributes."""
    mesh, shape = rng.choice(MESHES), dims(rng)
    x, axes = on(rng, mesh, shape), list(range(len(shape)))
    match rng.choice(("nn.relu", "add", "matmul", "sum", "permute_dims", "nn.softmax", "reshape")):
        case "add":
            pair = [x, on(rng, mesh, shorter(rng, shape))]
            return "add", rng.sample(pair, 2), {}
        case "matmul":
            m, k, n = (rng.choice(SIZES) for _ in range(3))
            left = rng.choice(([*shape[:2], m, k], [k]))
            right = rng.choice(([*shape[:2], k, n], [*shorter(rng, shape[:2]), k, n], [k]))
            return "matmul", [on(rng, mesh, left), on(rng, mesh, right)], {}
        case "sum":
            over = None if rng.random() < 0.2 else rng.sample(axes, rng.randint(0, len(axes)))
            name = rng.choice(("sum", "max", "mean", "variance"))
            return name, [x], {"axis": over, "keepdims": rng.random() < 0.5}
        case "permute_dims":
            return "permute_dims", [x], {"axes": rng.choice((rng.sample(axes, len(axes)), None))}
        case "nn.softmax":
            return "nn.softmax", [x], {"axis": rng.choice((*axes, -1))}
        case "reshape":
            return "reshape", [x], {"shape": reshaped(rng, shape)}
        case name:
            return name, [x], {}


def placed_here(name: str, types: list[DTensorType], attrs: dict[str, Any]) -> str:
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in attrs.items() if k != "shape"}
    shape = [tuple(attrs["shape"])] if "shape" in attrs else []
    ty = make_call(op(name), *(Var("x", t) for t in types), *shape, **given).type
    assert isinstance(ty, DTensorType)
    return str(ty.placement)


def placed_there(name: str, types: list[DTensorType], attrs: dict[str, Any]) -> str:
    n = tvm.tirx.Var("n", "int64")

    def dim(d: Dim) -> Any:
        return eval(str(d), {"n": n}) if isinstance(d, SymDim) else d

    def variable(ty: DTensorType) -> Any:
        dist = tvm.relax.distributed
        mesh = dist.DeviceMesh(ty.mesh.shape, list(ty.mesh.device_ids))
        tensor = tvm.relax.TensorType([dim(d) for d in ty.tensor.dims], ty.tensor.dtype)
        placement = dist.Placement.from_text(str(ty.placement))
        return tvm.relax.Var("x", dist.DTensorType(tensor, mesh, placement))

    function = tvm.relax.op
    for part in name.split("."):
        function = getattr(function, part)
    given = {k: tuple(map(dim, v)) if k == "shape" else v for k, v in attrs.items()}
    call = function(*map(variable, types), **given)
    return str(tvm.relax.BlockBuilder().normalize(call).ty.placement).strip('"')


def outcome(placed: Callable[..., str], call: Given, refusals: type[Exception]) -> str:
    try:
        return placed(*call)
    except refusals as error:
        return f"refused: {error}"


def kind(here: str, there: str) -> str:
    """Return how the two outcomes compare; "" where they differ as they must not."""
    if here == there:
        return "the same"
    if here.startswith("refused") and there.startswith("refused"):
        return "refused by both"
    is_choice = any(reason in here for reason in CHOSEN_THERE)
    return "chosen there" if is_choice else ""


def test_results_lie_where_tvm_puts_them() -> None:
    warnings.simplefilter("ignore")
    kinds: Counter[str] = Counter()
    for seed in range(NUM_CALLS):
        call = drawn(random.Random(seed))
        here = outcome(placed_here, call, EqsatError)
        there = outcome(placed_there, call, Exception)  # TVM's errors have no class in common
        found = kind(here, there)
        assert found, f"{call}: {here}, TVM: {there}"
        kinds[found] += 1
    assert kinds["the same"] > NUM_CALLS / 2, kinds
    assert min(kinds.values()) > NUM_CALLS / 50, kinds
