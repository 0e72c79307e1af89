"""Imports of whole graphs: names, symbolic dims, control flow, functions, constants, bad input."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqsat.ir import MatchCast
from eqsat.ir.frontend import ImportModelError, from_onnx
from eqsat.shapes import EqsatError, sym
from tests.models._agree import check_agrees, interpreted, result_types

F, I = TensorProto.FLOAT, TensorProto.INT64  # noqa: E741
RNG = np.random.default_rng(0)


def f32(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.standard_normal(shape).astype(np.float32)


def tensor(
    name: str, shape: Sequence[int | str | None] | None, kind: int = F
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def const(name: str, value: object, dtype: str = "int64") -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def node(op: str, inputs: str, outputs: str, **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attrs)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 17,
    **rest: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", opset), *rest.pop("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **rest)


def small_model() -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    w, b = (rng.standard_normal(shape, dtype=np.float32) for shape in ((3, 4), (4,)))
    return model(
        [
            node("MatMul", "x w", "h"),
            node("Add", "h b", "s"),
            node("Relu", "s", "r"),
            node("Reshape", "r target", "y"),
        ],
        [tensor("x", ["n", 3])],
        [tensor("y", ["n", 2, 2])],
        [
            numpy_helper.from_array(w, "w"),
            numpy_helper.from_array(b, "b"),
            const("target", [0, 2, 2]),
        ],
    )


# Names and dims ---------------------------------------------------------------------------------


def test_inputs_keep_names_dtypes_and_symbols() -> None:
    main = from_onnx(small_model()).relax_function("main")
    assert [(p.name, str(p.type)) for p in main.params] == [("x", "float32[n, 3]")]
    assert str(main.ret_type) == "float32[n, 2, 2]"


def test_path_bytes_and_proto_give_the_same(tmp_path: Path) -> None:
    proto = small_model()
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    for source in (path, str(path), path.read_bytes(), proto):
        check_agrees(proto, {"x": f32(5, 3)}, module=from_onnx(source), dims={"n": 5})


def test_the_given_model_is_not_changed() -> None:
    proto = small_model()
    before = proto.SerializeToString(deterministic=True)
    from_onnx(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_dims_fix_symbols() -> None:
    module = from_onnx(small_model(), dims={"n": 7})
    assert str(module.relax_function().params[0].type) == "float32[7, 3]"
    check_agrees(small_model(), {"x": f32(7, 3)}, module=module)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["batch-size", "batch_size"], ["batch_size_2", "batch_size"]),
        (["a-b", "a.b"], ["a_b", "a_b_2"]),
        (["1.N", "lambda"], ["d_1_N", "lambda_"]),
        (["past", "past + 1"], ["past", "past + 1"]),
        (["past + 1", "past"], ["past + 1", "past"]),
        (["total + 1", "m"], ["total___1", "m"]),
        ([None, None], ["x_d0", "x_d1"]),
        (["x_d1", None], ["x_d1", "x_d1_2"]),
        ([-1, 4], ["x_d0", "4"]),
    ],
)
def test_dim_names(names: list[Any], expected: list[str]) -> None:
    proto = model([node("Relu", "x", "y")], [tensor("x", names)], [tensor("y", names)])
    assert [str(d) for d in result_types(from_onnx(proto).relax_function())[0].dims] == expected


def test_fixing_a_name_fixes_expressions_of_it() -> None:
    proto = model(
        [node("Relu", "x", "y")], [tensor("x", ["p", "p + 1"])], [tensor("y", ["p", "p + 1"])]
    )
    assert result_types(from_onnx(proto, dims={"p": 4}).relax_function())[0].dims == (4, 5)
    with pytest.raises(ImportModelError, match=r"gives p \+ 1 the size 5, but it is p \+ 1"):
        from_onnx(proto, dims={"p + 1": 5})
    with pytest.raises(ImportModelError, match=r"p \+ 1 the size 7, but it is 5"):
        from_onnx(proto, dims={"p": 4, "p + 1": 7})


def test_unknown_dims_name_is_refused() -> None:
    with pytest.raises(ImportModelError, match=r"names batch, but the symbolic dims .* are n"):
        from_onnx(small_model(), dims={"batch": 1})
    with pytest.raises(ImportModelError, match="gives n the size -1; it is an int, at least 0"):
        from_onnx(small_model(), dims={"n": -1})


# Shape arithmetic -------------------------------------------------------------------------------


def test_shape_arithmetic_is_resolved() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Gather", "s one", "m"),
        node("Mul", "n m", "nm"),
        node("Unsqueeze", "nm axes", "v"),
        node("Concat", "v rest", "target", axis=0),
        node("Reshape", "x target", "flat"),
        node("Div", "m two", "half"),
        node("Unsqueeze", "half axes", "h"),
        node("Slice", "x axes h one1", "y"),
    ]
    constants = [const("zero", 0), const("one", 1), const("axes", [0]), const("rest", [4]),
                 const("two", 2), const("one1", [1])]  # fmt: skip
    proto = model(
        nodes, [tensor("x", ["n", "m", 4])], [tensor("flat", None), tensor("y", None)], constants
    )
    module = check_agrees(proto, {"x": f32(3, 6, 4)}, dims={"n": 3, "m": 6})
    flat, y = result_types(module.relax_function())
    assert flat.dims == (sym("n") * sym("m"), 4)
    assert y.dims == (sym("n"), sym("m") // 2, 4)


def test_division_of_a_size_that_may_be_negative_rounds_towards_zero() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Sub", "s five", "d"),
        node("Div", "d two", "q"),
    ]
    proto = model(
        nodes, [tensor("x", ["n"])], [tensor("q", None, I)], [const("five", [5]), const("two", [2])]
    )
    module = from_onnx(proto)
    for n in (2, 4, 5, 8):
        check_agrees(proto, {"x": f32(n)}, module=module, dims={"n": n})


def test_sizes_survive_floats() -> None:
    nodes = [
        node("Shape", "x", "s", start=2),
        node("Cast", "s", "f", to=F),
        node("Mul", "f scale", "g"),
        node("Floor", "g", "h"),
        node("Cast", "h", "i", to=I),
        node("Shape", "x", "nc", end=2),
        node("Concat", "nc i", "sizes", axis=0),
        node("Expand", "one sizes", "y"),
    ]
    proto = model(
        nodes, [tensor("x", ["n", 2, "h", 3])], [tensor("y", None)],
        [const("scale", [2.0, 3.0], "float32"), const("one", [[[[1.0]]]], "float32")],
    )  # fmt: skip
    check_agrees(proto, {"x": f32(1, 2, 5, 3)}, dims={"n": 1, "h": 5})


def test_tile_by_sizes_known_at_run_time() -> None:
    nodes = [
        node("Shape", "x", "n", end=1),
        node("Concat", "n two n", "repeats", axis=0),
        node("Tile", "w repeats", "y"),
    ]
    proto = model(
        nodes, [tensor("x", ["n"])], [tensor("y", None)],
        [const("two", [2]), const("w", np.arange(6).reshape(1, 2, 3), "float32")],
    )  # fmt: skip
    module = from_onnx(proto)
    for n in (1, 4):
        check_agrees(proto, {"x": f32(n)}, module=module, dims={"n": n})


def test_powers_and_roots_in_sizes() -> None:
    """DINOv2 takes the side of a square of patches as a root."""
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s last", "d", axis=0),
        node("Cast", "d", "f", to=F),
        node("Pow", "f half", "r"),
        node("Sqrt", "f", "q"),
        node("Cast", "r", "i", to=I),
        node("Cast", "q", "j", to=I),
        node("Shape", "x", "n", end=1),
        node("Pow", "n two", "m"),
        node("Concat", "m i j", "sizes", axis=0),
        node("Expand", "one sizes", "y"),
    ]
    proto = model(
        nodes, [tensor("x", ["n", 16])], [tensor("y", None)],
        [
            const("last", [1]), const("half", [0.5], "float32"), const("two", [2]),
            const("one", [[[1.0]]], "float32"),
        ],
    )  # fmt: skip
    check_agrees(proto, {"x": f32(3, 16)}, dims={"n": 3})


def test_known_tensors_as_outputs() -> None:
    nodes = [node("Shape", "x", "s"), node("Identity", "x", "same"), node("Cast", "s", "f", to=F)]
    outputs = [
        tensor("s", [2], I),
        tensor("same", None),
        tensor("w", [3]),
        tensor("x", None),
        tensor("f", None),
    ]
    proto = model(nodes, [tensor("x", ["n", 3])], outputs, [const("w", [1, 2, 3], "float32")])
    check_agrees(proto, {"x": f32(4, 3)}, dims={"n": 4})


def test_sizes_that_must_agree_are_checked_by_match_cast() -> None:
    nodes = [node("Slice", "table zero n axis", "t"), node("Add", "x t", "y")]
    sliced = [node("Shape", "x", "n"), *nodes]
    proto = model(
        sliced, [tensor("x", ["n"])], [tensor("y", None)],
        [const("table", RNG.standard_normal(8), "float32"), const("zero", [0]), const("axis", [0])],
    )  # fmt: skip
    module = check_agrees(proto, {"x": f32(5)}, dims={"n": 5})
    casts = [b for b in module.relax_function().body.blocks[0].bindings if isinstance(b, MatchCast)]
    assert [str(b.type) for b in casts] == ["float32[n]"]


def test_a_reshape_that_may_not_fit_is_checked_by_match_cast() -> None:
    proto = model(
        [node("Reshape", "x target", "y")], [tensor("x", ["n", 6])], [tensor("y", None)],
        [const("target", [-1, 4])],
    )  # fmt: skip
    module = check_agrees(proto, {"x": f32(2, 6)}, dims={"n": 2})
    with pytest.raises(
        EqsatError, match=r"n \* 6 = 18 and .* = 16, but the program needs n \* 6 =="
    ):
        interpreted(module, {"x": f32(3, 6)})


def test_a_squeeze_whose_rank_depends_on_sizes_is_refused() -> None:
    proto = model([node("Squeeze", "x", "y")], [tensor("x", ["n", 1])], [tensor("y", None)])
    with pytest.raises(ImportModelError, match="without axes, whether a symbolic axis is dropped"):
        from_onnx(proto)


# Control flow, functions, constants --------------------------------------------------------------


def branches(condition: bool) -> onnx.ModelProto:
    inner = {
        name: helper.make_graph(
            [node("Add", "x k", "t"), node(op, "t", f"{name}_out")],
            name, [], [tensor(f"{name}_out", None)], [const("k", [number], "float32")],
        )
        for name, op, number in (("then_branch", "Relu", 1), ("else_branch", "Neg", 2))
    }  # fmt: skip
    nodes = [helper.make_node("If", ["c"], ["r"], **inner), node("Exp", "r", "y")]
    return model(nodes, [tensor("x", ["n"])], [tensor("y", None)], [const("c", condition, "bool")])


@pytest.mark.parametrize("condition", [True, False])
def test_a_known_condition_chooses_its_branch(condition: bool) -> None:
    check_agrees(branches(condition), {"x": f32(4)}, dims={"n": 4})


def test_a_condition_over_sizes_chooses_its_branch() -> None:
    proto = branches(True)
    del proto.graph.initializer[:]
    proto.graph.node.insert(0, node("Shape", "x", "s"))
    proto.graph.node.insert(1, node("Greater", "s low", "cv"))
    proto.graph.node.insert(2, node("Squeeze", "cv", "c"))
    proto.graph.initializer.append(const("low", [-1]))
    check_agrees(proto, {"x": f32(4)}, dims={"n": 4})


def test_a_condition_that_depends_on_data_is_refused() -> None:
    proto = branches(True)
    del proto.graph.initializer[:]
    proto.graph.input.append(tensor("c", [], TensorProto.BOOL))
    with pytest.raises(ImportModelError, match=r"\(If\): the condition depends on data"):
        from_onnx(proto)


def test_local_functions_are_expanded() -> None:
    opset = helper.make_opsetid("", 17)
    double = helper.make_function(
        "mine", "Double", ["a"], ["b"], [node("Add", "a a", "b")], [opset]
    )
    nodes = [
        helper.make_node("Double", ["x"], ["h"], domain="mine"),
        helper.make_node("Double", ["h"], ["y"], domain="mine"),
    ]
    proto = model(
        nodes, [tensor("x", ["n"])], [tensor("y", ["n"])],
        functions=[double], opsets=[helper.make_opsetid("mine", 1)],
    )  # fmt: skip
    check_agrees(proto, {"x": f32(4)}, dims={"n": 4})


def test_defaults_of_operators_defined_by_others_are_kept() -> None:
    """onnx's inliner drops a reference to an attribute that is absent, here the axes."""
    proto = model(
        [node("MeanVarianceNormalization", "x", "y")],
        [tensor("x", [2, 3, 4, 5])],
        [tensor("y", None)],
    )
    check_agrees(proto, {"x": f32(2, 3, 4, 5)})


@pytest.mark.parametrize(
    "attrs",
    [
        {"value": const("", [[1.5, 2.5]], "float32")},
        {"value_float": 1.5},
        {"value_floats": [1.5, 2.5]},
        {"value_int": 3},
        {"value_ints": [3, 4]},
    ],
    ids=lambda attrs: next(iter(attrs)),
)
def test_constants_in_every_form(attrs: dict[str, Any]) -> None:
    nodes = [
        node("Constant", "", "k", **attrs),
        node("Cast", "k", "f", to=F),
        node("Add", "x f", "y"),
    ]
    proto = model(nodes, [tensor("x", [1, 2])], [tensor("y", None)])
    check_agrees(proto, {"x": f32(1, 2)})


@pytest.mark.parametrize("places", [[1, 4], [[0, 1], [1, 1]]])
def test_sparse_constants(places: list[Any]) -> None:
    sparse = helper.make_sparse_tensor(const("v", [5, 6], "float32"), const("i", places), [2, 3])
    nodes = [node("Constant", "", "k", sparse_value=sparse), node("Add", "x k", "y")]
    module = from_onnx(model(nodes, [tensor("x", [2, 3])], [tensor("y", None)]))
    (result,) = interpreted(module, {"x": np.zeros((2, 3), np.float32)})
    np.testing.assert_array_equal(result, [[0, 5, 0], [0, 6, 0]])


def test_sparse_weights() -> None:
    proto = model([node("Add", "x v", "y")], [tensor("x", [2, 3])], [tensor("y", None)])
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(const("v", [5, 6], "float32"), const("i", [1, 4]), [2, 3])
    )
    (result,) = interpreted(from_onnx(proto), {"x": np.zeros((2, 3), np.float32)})
    np.testing.assert_array_equal(result, [[0, 5, 0], [0, 6, 0]])
    proto.graph.sparse_initializer[0].indices.CopyFrom(const("i", [1, 9]))
    with pytest.raises(ImportModelError, match=r"weight v is damaged|no valid ONNX model"):
        from_onnx(proto)


def test_identity_chains_leave_nothing() -> None:
    nodes = [node("Identity", f"v{i}", f"v{i + 1}") for i in range(20)]
    module = from_onnx(model(nodes, [tensor("v0", ["n"])], [tensor("v20", ["n"])]))
    assert not module.relax_function().body.blocks[0].bindings


def test_weights_listed_as_inputs_are_no_parameters() -> None:
    proto = small_model()
    proto.graph.input.append(tensor("w", [3, 4]))
    assert [p.name for p in from_onnx(proto).relax_function().params] == ["x"]


def test_external_weights(tmp_path: Path) -> None:
    proto = small_model()
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="model.bin", size_threshold=0)
    check_agrees(small_model(), {"x": f32(2, 3)}, module=from_onnx(path), dims={"n": 2})
    with pytest.raises(
        ImportModelError, match="weight w lies in an external file; pass the model's path"
    ):
        from_onnx(path.read_bytes())
    (tmp_path / "model.bin").unlink()
    with pytest.raises(
        ImportModelError, match=r"the external file model\.bin of the weight w can't be"
    ):
        from_onnx(path)


# Bad input --------------------------------------------------------------------------------------


def test_bad_files(tmp_path: Path) -> None:
    content = small_model().SerializeToString()
    cases = {
        "truncated.onnx": (content[: len(content) // 2], "not a readable ONNX model; truncated"),
        "empty.onnx": (b"", "is empty, not an ONNX model"),
        "text.onnx": (b"hello world, this is no model at all\n", "not a readable ONNX model"),
        "text.json": (b"{}", "not a readable ONNX model"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImportModelError, match=message) as caught:
            from_onnx(tmp_path / name)
        assert name in str(caught.value)
    with pytest.raises(ImportModelError, match="is a directory, not an ONNX file"):
        from_onnx(tmp_path)
    with pytest.raises(ImportModelError, match=r"missing\.onnx: no such file"):
        from_onnx(tmp_path / "missing.onnx")
    with pytest.raises(ImportModelError, match="holds no graph"):
        from_onnx(onnx.ModelProto(ir_version=8).SerializeToString())


def test_unsupported_operators_are_named_at_once() -> None:
    nodes = [
        node("NonZero", "x", "a"),
        helper.make_node("FusedThing", ["x"], ["b"], domain="com.acme"),
        helper.make_node("FusedThing", ["x"], ["d"], domain="com.acme"),
        node("Det", "x", "e"),
    ]
    proto = model(
        nodes, [tensor("x", [2, 2])], [tensor("e", [])], opsets=[helper.make_opsetid("com.acme", 1)]
    )
    with pytest.raises(
        ImportModelError,
        match=r"unsupported operators: Det \(1x\), NonZero \(1x\), com\.acme\.FusedThing \(2x\)",
    ):
        from_onnx(proto)


def test_unsupported_operators_in_branches_are_named() -> None:
    proto = branches(True)
    proto.graph.node[0].attribute[0].g.node[1].op_type = "NonZero"
    with pytest.raises(ImportModelError, match=r"unsupported operators: NonZero \(1x\)"):
        from_onnx(proto)


def relu(value: onnx.ValueInfoProto, **rest: Any) -> onnx.ModelProto:
    return model([node("Relu", value.name, "y")], [value], [tensor("y", None)], **rest)


def test_bad_inputs() -> None:
    with pytest.raises(ImportModelError, match="input x has no rank; declare its shape"):
        from_onnx(relu(tensor("x", None)))
    sequence = helper.make_tensor_sequence_value_info("x", F, [2])
    with pytest.raises(ImportModelError, match="input x is a sequence_type; only dense tensors"):
        from_onnx(relu(sequence))
    with pytest.raises(ImportModelError, match="input x has the element type STRING"):
        from_onnx(relu(tensor("x", [2], TensorProto.STRING)))
    proto = relu(tensor("x", [2]))
    proto.graph.input.append(tensor("x", [3]))
    with pytest.raises(ImportModelError, match="x"):
        from_onnx(proto)


def test_opsets_that_are_not_supported() -> None:
    with pytest.raises(
        ImportModelError, match=r"has opset 9999, but the installed onnx knows up to"
    ):
        from_onnx(relu(tensor("x", [2]), opset=9999))
    with pytest.raises(ImportModelError, match="has opset 5; 7 is the oldest supported"):
        from_onnx(relu(tensor("x", [2]), opset=5))


def test_undefined_names() -> None:
    proto = small_model()
    proto.graph.node[1].input[0] = "nothing"
    with pytest.raises(ImportModelError, match="nothing"):
        from_onnx(proto)
    proto = small_model()
    proto.graph.output[0].name = "nowhere"
    with pytest.raises(ImportModelError, match="output 'nowhere' is not"):
        from_onnx(proto)


def test_damaged_weights() -> None:
    proto = small_model()
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]
    with pytest.raises(ImportModelError, match="w"):
        from_onnx(proto)
    large = model(
        [node("Add", "x w", "y")], [tensor("x", [4096])], [tensor("y", [4096])],
        [numpy_helper.from_array(f32(4096), "w")],
    )  # fmt: skip
    large.graph.initializer[0].raw_data = large.graph.initializer[0].raw_data[:-4]
    with pytest.raises(ImportModelError, match="the weight w is damaged or of an unsupported type"):
        from_onnx(large)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Reshape", "x x", "y")], r"\(Reshape\)"),
        ([node("Transpose", "x", "y", perm=[0, 0])], r"\(Transpose\)"),
        ([node("Concat", "x x", "y", axis=5)], r"\(Concat\).* axis 5"),
        ([node("MatMul", "x w", "y")], r"\(MatMul\)"),
        ([node("Squeeze", "x one", "y")], r"\(Squeeze\).*axis 1"),
        ([node("Split", "x parts", "y z")], "the pieces .* do not add up"),
        ([node("Clip", "x", "y", min=1.0)], "min"),
        ([node("Range", "v v v", "y")], r"\(Range\): start must be a constant"),
        ([node("Tile", "x i", "y")], r"repeats depends on data"),
    ],
)
def test_nodes_that_do_not_fit(nodes: list[onnx.NodeProto], message: str) -> None:
    constants = [const("one", [1]), const("w", np.ones((5, 2)), "float32"), const("parts", [1, 7])]
    inputs = [tensor("x", [2, 3]), tensor("v", []), tensor("i", [2], I)]
    proto = model(nodes, inputs, [tensor("y", None)], constants)
    with pytest.raises(ImportModelError, match=message):
        from_onnx(proto)


def test_mutated_files_give_a_model_or_one_error() -> None:
    rng = random.Random(0)
    content = small_model().SerializeToString()
    for i in range(300):
        damaged = bytearray(content)
        if i % 3 == 0:
            del damaged[rng.randrange(len(damaged)) :]
        for _ in range(rng.randrange(1, 4)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            from_onnx(bytes(damaged))
        except ImportModelError:
            continue
