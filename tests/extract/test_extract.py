import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqsat._snapshot import CONSTANT, INPUT
from eqsat.extract import REFERENCE_PROFILE, Sizes, extract, input_cover, structure, variants
from eqsat.extract._candidates import CandidateGrower
from eqsat.extract._forms import prepare
from eqsat.extract._graph import ExtractError
from eqsat.extract._greedy import used
from eqsat.extract._segments import split
from eqsat.extract._solve import solve
from eqsat.ir import TensorType
from eqsat.shapes import ShapeError, sym


def is_given(snapshot, c):
    e_class = snapshot.classes[c]
    return e_class.is_constant or any(n.op in (INPUT, CONSTANT) for n in e_class.nodes)


def check_cover(snapshot, cover):
    """Assert that the cover computes the outputs by e-nodes of the snapshot, in order."""
    written = set()
    for k in cover.kernels:
        assert isinstance(snapshot.classes[k.root].type, TensorType)
        assert k.root in k.nodes
        assert k.root not in written, "a class is written twice"
        read = set()
        for c, node in k.nodes.items():
            same = [n for n in snapshot.classes[c].nodes if n is node]
            assert same, "an e-node does not belong to its class"
            read |= {x for x in node.children if x not in k.nodes}
        assert read == set(k.leaves)
        assert len(k.leaves) == len(set(k.leaves))
        for leaf in k.leaves:
            assert is_given(snapshot, leaf) or leaf in written, "a leaf is not in memory yet"
        check_inside(k)
        written.add(k.root)
    for o in snapshot.outputs:
        assert is_given(snapshot, o) or o in written
    assert cover.time_s == pytest.approx(sum(k.time_s for k in cover.kernels))
    assert cover.bound_s <= cover.time_s * (1 + 1e-9)


def check_inside(kernel):
    state = {}

    def visit(c):
        assert state.get(c) != "open", "a kernel computes a class from itself"
        if c in state or c not in kernel.nodes:
            return
        state[c] = "open"
        for x in kernel.nodes[c].children:
            visit(x)
        state[c] = "done"

    visit(kernel.root)
    assert set(state) == set(kernel.nodes), "a class inside does not serve the root"


def run(snapshot, **options):
    sizes = Sizes.of(snapshot)
    cover = extract(snapshot, REFERENCE_PROFILE, sizes, **options)
    check_cover(snapshot, cover)
    before = input_cover(snapshot, REFERENCE_PROFILE, sizes)
    check_cover(snapshot, before)
    assert cover.time_s <= before.time_s * (1 + 1e-9)
    return cover, before


@pytest.mark.parametrize("name", ["transformer", "resnet", "densenet"])
def test_models_are_covered_within_a_percent(models, name):
    b, outputs = models[name](12) if name == "transformer" else models[name]()
    snapshot = b.snapshot(*outputs)
    start = time.perf_counter()
    cover, before = run(snapshot)
    assert cover.gap <= 0.01
    assert len(cover.kernels) < len(before.kernels)
    assert time.perf_counter() - start < 10  # 0.4 s on a quiet machine


def test_convolution_takes_in_norm_relu_and_residual(models):
    b, outputs = models["resnet"]()
    cover, _ = run(b.snapshot(*outputs))
    ops = [sorted(n.op for n in k.nodes.values() if n.op != CONSTANT) for k in cover.kernels]
    assert len(cover.kernels) <= 60
    assert not any("multiply" in names for names in ops), "the folded form is cheaper"
    assert ["add", "add", "nn.conv2d", "nn.relu"] in ops


def test_transformer_layer_has_few_kernels(models):
    b, outputs = models["transformer"](2)
    cover, _ = run(b.snapshot(*outputs))
    launched = [k for k in cover.kernels if k.time_s > 1e-8]
    assert len(launched) <= 2 * 12
    rows = [k for k in cover.kernels if k.template == "row"]
    assert len(rows) == 2 * 3, "a softmax and two norms in each layer, one kernel each"


def test_result_does_not_depend_on_ids_or_order(models):
    b, outputs = models["transformer"](1)
    first, _ = run(b.snapshot(*outputs))
    order = list(b.types)
    random.Random(7).shuffle(order)
    second, _ = run(b.renamed(outputs, order))
    assert second.time_s == pytest.approx(first.time_s, rel=1e-12)
    assert structure(second) == structure(first)
    again, _ = run(b.snapshot(*outputs))
    assert [k.root for k in again.kernels] == [k.root for k in first.kernels]


def test_without_time_the_greedy_program_is_returned(models):
    b, outputs = models["densenet"]((2, 2, 2, 2))
    snapshot = b.snapshot(*outputs)
    greedy_cover, _ = run(snapshot, time_limit_s=0.0)
    best, _ = run(snapshot)
    assert best.time_s <= greedy_cover.time_s * (1 + 1e-9)
    assert greedy_cover.bound_s <= best.time_s * (1 + 1e-9)


def test_progress_goes_from_zero_to_one(models):
    b, outputs = models["transformer"](1)
    seen = []
    snapshot = b.snapshot(*outputs)
    extract(snapshot, REFERENCE_PROFILE, Sizes.of(snapshot), progress=seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_variants_differ_and_grow_in_cost(models):
    b, outputs = models["transformer"](2)
    snapshot = b.snapshot(*outputs)
    sizes = Sizes.of(snapshot)
    found = variants(snapshot, REFERENCE_PROFILE, sizes, 4)
    assert len(found) == 4
    for cover in found:
        check_cover(snapshot, cover)
    times = [c.time_s for c in found]
    assert times == sorted(times)
    assert len({structure(c) for c in found}) == 4
    assert times[0] == pytest.approx(extract(snapshot, REFERENCE_PROFILE, sizes).time_s)


def test_output_that_is_an_input_or_a_constant_needs_no_kernel(builder):
    x = builder.input(4)
    w = builder.weight(4)
    cover, _ = run(builder.snapshot(x, w, builder.call("add", w, w)))
    assert cover.kernels == ()
    assert cover.gap == 0.0


def test_reshape_of_what_is_in_memory_costs_nothing(builder):
    x = builder.input(8, 16)
    y = builder.call("nn.relu", builder.call("matmul", x, builder.weight(16, 4)))
    z = builder.call("reshape", y, (32,))
    cover, _ = run(builder.snapshot(y, z))
    assert [k.template for k in cover.kernels] == ["contraction", "view"]
    assert cover.kernels[1].time_s < 1e-8


def test_field_of_a_split_is_a_view(builder):
    x = builder.input(8, 16)
    parts = builder.call("split", x, indices_or_sections=2, axis=1)
    y = builder.call("multiply", builder.field(parts, 0), builder.field(parts, 1))
    cover, _ = run(builder.snapshot(y))
    assert len(cover.kernels) == 1
    assert parts in cover.kernels[0].nodes


def test_contraction_with_two_readers_is_not_computed_twice(builder):
    x = builder.input(64, 64)
    y = builder.call("matmul", x, builder.weight(64, 64))
    left, right = builder.call("nn.relu", y), builder.call("exp", y)
    cover, _ = run(builder.snapshot(left, right))
    products = [k for k in cover.kernels if any(n.op == "matmul" for n in k.nodes.values())]
    assert len(products) == 1


def test_softmax_over_a_leading_axis_is_not_a_row_kernel_with_an_epilogue(builder):
    x = builder.input(64, 64)
    y = builder.call("nn.relu", builder.call("nn.softmax", x, axis=0))
    cover, _ = run(builder.snapshot(y))
    assert len(cover.kernels) == 2


def test_equal_forms_in_a_circle(builder):
    b = builder
    x = b.input(32, 48)
    w = b.weight(48, 32)
    y = b.call("matmul", x, w)
    z = b.call("permute_dims", y, axes=(1, 0))
    b.call("permute_dims", z, axes=(1, 0), rule="twice", into=y)
    b.call("add", y, b.scalar(0.0), rule="neutral", into=y)
    xt = b.call("permute_dims", x, axes=(1, 0), rule="transposed")
    wt = b.call("permute_dims", w, axes=(1, 0), rule="transposed")
    b.call("matmul", wt, xt, rule="transposed", into=z)
    cover, _ = run(b.snapshot(y, z))
    assert len(cover.kernels) == 2


def test_merged_products_in_a_circle_with_their_parts(builder):
    """The merged product is also the concatenation of its parts: no circle may be chosen."""
    b = builder
    x = b.input(264, 512)
    ws = [b.weight(512, 8) for _ in range(3)]
    parts = [b.call("matmul", x, w) for w in ws]
    merged = b.call("matmul", x, b.call("concat", ws, axis=1, rule="m"), rule="m")
    b.call("concat", parts, axis=1, rule="m", into=merged)
    pieces = b.call("split", merged, indices_or_sections=3, axis=1, rule="m")
    for i, part in enumerate(parts):
        b.field(pieces, i, rule="m", into=part)
    ys = [b.call("exp", p) for p in parts]
    cover, _ = run(b.snapshot(*ys))
    products = sum(n.op == "matmul" for k in cover.kernels for n in k.nodes.values())
    assert products == 1, "one product of three is cheaper than three"
    assert cover.gap <= 0.01


def test_missing_class_is_named(builder):
    y = builder.call("nn.relu", builder.input(4))
    snapshot = builder.snapshot(y)
    classes = {c: e for c, e in snapshot.classes.items() if c == y}
    broken = type(snapshot)(classes, (y,))
    with pytest.raises(ExtractError, match="no class 0"):
        extract(broken, REFERENCE_PROFILE, Sizes())


def test_missing_size_is_named(builder):
    snapshot = builder.snapshot(builder.call("nn.relu", builder.input(sym("n"), 4)))
    with pytest.raises(ShapeError, match="'n' has no value"):
        extract(snapshot, REFERENCE_PROFILE, Sizes())


# Random programs over few operators, with equal forms put in by hand, small enough to enumerate.

UNARY = ("nn.relu", "exp", "negative")


@st.composite
def programs(draw, builder_type):
    b = builder_type()
    pool = [b.input(16, 16), b.input(16, 16)]
    calls = []
    for _ in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(["unary", "add", "matmul", "softmax", "transpose"]))
        x, y = draw(st.sampled_from(pool)), draw(st.sampled_from(pool))
        match kind:
            case "unary":
                name = draw(st.sampled_from(UNARY))
                c = b.call(name, x)
            case "add":
                c = b.call("add", x, y)
                calls.append((c, x, y))
            case "matmul":
                c = b.call("matmul", x, y)
            case "softmax":
                c = b.call("nn.softmax", x, axis=-1)
            case _:
                c = b.call("permute_dims", x, axes=(1, 0))
                if draw(st.booleans()) and x >= 2:
                    b.call("permute_dims", c, axes=(1, 0), rule="twice", into=x)
        pool.append(c)
    for c, x, y in calls:
        if draw(st.booleans()):
            b.call("subtract", x, b.call("negative", y, rule="sub"), rule="sub", into=c)
    outputs = draw(st.lists(st.sampled_from(pool[2:]), min_size=1, max_size=2, unique=True))
    return b.snapshot(*outputs)


def brute_force(graph, candidates):
    """Return the least time over all covers, by trying every set of choices."""
    best = [float("inf")]

    def cost(choice):
        return sum(candidates[c][i].time_s for c, i in choice.items())

    def visit(choice, waiting):
        if cost(choice) >= best[0]:
            return
        if not waiting:
            if not has_circle(choice):
                best[0] = cost(choice)
            return
        c, rest = waiting[0], waiting[1:]
        for i, k in enumerate(candidates[c]):
            new = [x for x in sorted(k.needs) if x not in choice and x != c and x not in rest]
            visit({**choice, c: i}, [*rest, *new])

    def has_circle(choice):
        state = {}

        def enter(c):
            if state.get(c) == 1:
                return True
            if c in state:
                return False
            state[c] = 1
            found = any(enter(x) for x in candidates[c][choice[c]].needs)
            state[c] = 2
            return found

        return any(enter(c) for c in choice)

    visit({}, [o for o in graph.outputs if not graph.classes[o].is_available])
    return best[0]


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_covers_of_random_programs_are_valid_and_optimal(graph_builder, data):
    snapshot = data.draw(programs(graph_builder))
    cover, _ = run(snapshot)
    graph = prepare(snapshot, REFERENCE_PROFILE, Sizes())
    best = brute_force(graph, CandidateGrower(graph).run())
    assert cover.time_s <= best * (1 + 2e-4)
    assert cover.bound_s <= best * (1 + 1e-9)
    assert cover.gap <= 0.01


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_greedy_choices_are_usable(graph_builder, data):
    snapshot = data.draw(programs(graph_builder))
    graph = prepare(snapshot, REFERENCE_PROFILE, Sizes())
    for segment in split(CandidateGrower(graph).run(), graph.outputs):
        quick, best = solve(segment, 0.0), solve(segment, 5.0)
        assert used(segment, quick.choice) == quick.choice
        assert best.time_s <= quick.time_s * (1 + 1e-9)
        assert quick.bound_s <= best.time_s * (1 + 1e-9)
