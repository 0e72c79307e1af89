"""Every operator: inference, reference and compute agree on every sample."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from eqsat.ir import (
    ALL_OPS,
    UNKNOWN_DTYPE,
    Constant,
    NullValue,
    Numerics,
    ObjectType,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    PrimType,
    Sample,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
    check_well_formed,
    evaluate_te,
    infer_type,
    interpret,
    make_call,
    op,
    parse_module,
    print_module,
    register_op,
    structural_equal,
    te,
    with_dtypes_of,
)
from eqsat.ir.ops import OperatorError
from eqsat.shapes import (
    EqsatError,
    ShapeError,
    SymDim,
    evaluate,
    is_bool,
    is_float,
    numpy_dtype,
    parse_dim,
    symbols,
)

SIZES = (
    {"n": 2, "m": 3, "b": 2, "h": 5},
    {"n": 5, "m": 1, "b": 3, "h": 8},
    {"n": 1, "m": 4, "b": 1, "h": 6},
)
NOT_DIMS = ("str", "dtype", "code")

CASES = [
    pytest.param(o, s, id=f"{name}-{k}")
    for name, o in ALL_OPS.items()
    for k, s in enumerate(o.samples() if o.samples else ())
]


def _dims(shape: Any) -> tuple[Any, ...]:
    return tuple(parse_dim(d) if isinstance(d, str) else d for d in shape)


def _operand_type(operand: Operand, given: Any, dtype: str) -> Type:
    if given is None:
        return ObjectType()
    match operand.kind:
        case OperandKind.TENSOR:
            return TensorType(_dims(given), dtype)
        case OperandKind.TENSORS:
            return TupleType(tuple(TensorType(_dims(s), dtype) for s in given))
        case OperandKind.SHAPE:
            return ShapeType(_dims(given[1]))


def _attrs(o: OpDef, sample: Sample) -> dict[str, Any]:
    kinds = {a.name: a.kind for a in o.attrs}

    def dim(value: Any, kind: str) -> Any:
        if isinstance(value, str) and kind not in NOT_DIMS:
            return parse_dim(value)
        return tuple(dim(v, kind) for v in value) if isinstance(value, tuple) else value

    return o.fill_attrs({k: dim(v, kinds[k]) for k, v in sample.attrs.items()})


def _number(value: Any, env: Mapping[str, int]) -> Any:
    if isinstance(value, SymDim):
        return evaluate(value, env)
    return tuple(_number(v, env) for v in value) if isinstance(value, tuple) else value


def _array(rng: np.random.Generator, ty: TensorType, env: Mapping[str, int], bounds: Any) -> Any:
    shape, (low, high) = tuple(evaluate(d, env) for d in ty.dims), bounds
    if is_bool(ty.dtype):
        return rng.integers(0, 2, shape).astype(bool)
    if is_float(ty.dtype):
        return np.asarray(rng.uniform(low, high, shape)).astype(numpy_dtype(ty.dtype))
    return np.asarray(rng.integers(int(low), int(high), shape)).astype(numpy_dtype(ty.dtype))


def _tolerance(o: OpDef, dtype: str) -> tuple[float, float]:
    """Return (relative, absolute) tolerance; an exact operator has none, in any dtype."""
    if o.numerics is Numerics.EXACT or not is_float(dtype):
        return 0.0, 0.0
    eps = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[
        dtype
    ]
    terms = 4 if o.numerics is Numerics.ROUNDING else 64
    if dtype in ("float16", "bfloat16"):
        terms = 2  # computed in float32 and rounded once
    return terms * eps, terms * eps


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def _check_type(ty: Type, value: Any, env: Mapping[str, int]) -> None:
    if isinstance(ty, ShapeType):
        dims = ty.dims
        assert isinstance(dims, UnknownShape) or tuple(evaluate(d, env) for d in dims) == value
        return
    if isinstance(ty, PrimType):
        assert isinstance(value, int)
        return
    fields = ty.fields if isinstance(ty, TupleType) else (ty,)
    for f, v in zip(fields, _flat(value), strict=True):
        assert isinstance(f, TensorType)
        v = np.asarray(v)
        assert v.dtype == numpy_dtype(f.dtype)
        if isinstance(f.shape, UnknownShape):
            assert f.ndim in (-1, v.ndim)
        else:
            assert tuple(evaluate(d, env) for d in f.shape) == v.shape


def _names(types: list[Type], attrs: Mapping[str, Any]) -> bool:
    """Say whether a sample has symbols."""

    def dims(ty: Type) -> list[Any]:
        match ty:
            case TensorType():
                return list(ty.dims)
            case ShapeType():
                return [] if isinstance(ty.dims, UnknownShape) else list(ty.dims)
            case TupleType():
                return [d for f in ty.fields for d in dims(f)]
            case _:
                return []

    in_attrs = any(
        "SymDim" in repr(type(v))
        or (isinstance(v, tuple) and any(isinstance(x, SymDim) for x in v))
        for v in attrs.values()
    )
    return in_attrs or any(symbols(d) for t in types for d in dims(t))


def _types(o: OpDef, sample: Sample) -> list[Type]:
    dtypes = [*sample.dtypes, *[sample.dtypes[-1]] * len(o.operands)]
    return [
        _operand_type(x, s, d) for x, s, d in zip(o.operands, sample.shapes, dtypes, strict=False)
    ]


def _without_dtype(ty: Type) -> Type:
    match ty:
        case TensorType():
            return TensorType(ty.shape, UNKNOWN_DTYPE)
        case TupleType(fields):
            return TupleType(tuple(_without_dtype(f) for f in fields))
        case _:
            return ty


@pytest.mark.parametrize(("o", "sample"), CASES)
def test_operands_of_unknown_dtype_leave_unknown_only_dtypes(o: OpDef, sample: Sample) -> None:
    types, attrs = _types(o, sample), _attrs(o, sample)
    out = infer_type(o, types, attrs)
    some = [[_without_dtype(t) if i == k else t for i, t in enumerate(types)] for k in range(9)]
    for given in (*some[: len(types)], [*map(_without_dtype, types)]):
        assert with_dtypes_of(infer_type(o, given, attrs), out) == out


@pytest.mark.parametrize("dtype", ["void", ""])
def test_no_dtype_as_an_attribute_is_the_default(dtype: str) -> None:
    assert op("zeros").fill_attrs({"dtype": dtype}) == {"dtype": "float32"}
    assert op("cumsum").fill_attrs({"dtype": dtype})["dtype"] is None
    assert op("astype").fill_attrs({"dtype": dtype}) == {"dtype": dtype}  # it has none


@pytest.mark.parametrize(("o", "sample"), CASES)
def test_infer_reference_and_compute_agree(o: OpDef, sample: Sample) -> None:
    types, attrs = _types(o, sample), _attrs(o, sample)
    out = infer_type(o, types, attrs)
    stages = None
    inputs: list[te.Tensor] = []
    if o.compute is not None:
        args: list[Any] = []
        for x, t in zip(o.operands, types, strict=True):
            match t:
                case TensorType():
                    args.append(te.placeholder(x.name, t.dims, t.dtype))
                    inputs.append(args[-1])
                case TupleType():
                    args.append([te.placeholder(x.name, f.dims, f.dtype) for f in t.fields])  # type: ignore[union-attr]
                    inputs.extend(args[-1])
                case ShapeType():
                    args.append(t.dims)
                case _:
                    args.append(None)
        stages = _flat(o.compute(args, attrs, out))
        fields = out.fields if isinstance(out, TupleType) else (out,)
        for stage, field in zip(stages, fields, strict=True):
            assert stage.dtype == field.dtype
            assert stage.shape == field.dims
    for env in SIZES if _names(types, attrs) else SIZES[:1]:
        _check_values(o, sample, types, attrs, out, stages, inputs, env)


def _check_values(
    o: OpDef,
    sample: Sample,
    types: list[Type],
    attrs: Mapping[str, Any],
    out: Type,
    stages: list[te.Tensor] | None,
    inputs: list[te.Tensor],
    env: Mapping[str, int],
) -> None:
    rng = np.random.default_rng(7)
    arrays: list[Any] = []
    flat: list[Any] = []
    for k, t in enumerate(types):
        bounds = sample.ranges.get(k, (sample.low, sample.high))
        match t:
            case TensorType():
                arrays.append(_array(rng, t, env, bounds))
                flat.append(arrays[-1])
            case TupleType():
                arrays.append([_array(rng, f, env, bounds) for f in t.fields])  # type: ignore[arg-type]
                flat.extend(arrays[-1])
            case ShapeType():
                arrays.append(tuple(evaluate(d, env) for d in t.dims))  # type: ignore[union-attr]
            case _:
                arrays.append(None)
    with np.errstate(all="ignore"):
        expected = o.reference(*arrays, **{k: _number(v, env) for k, v in attrs.items()})
    _check_type(out, expected, env)
    if stages is None:
        return
    got = evaluate_te(stages, dict(zip(inputs, flat, strict=True)), env)
    for g, e in zip(got, _flat(expected), strict=True):
        e = np.asarray(e)
        rtol, atol = _tolerance(o, e.dtype.name)
        if rtol:
            np.testing.assert_allclose(g.astype(np.float64), e.astype(np.float64), rtol, atol)
        else:
            np.testing.assert_array_equal(g, e)


def test_every_operator_has_samples() -> None:
    without = [n for n, o in ALL_OPS.items() if not o.samples or not o.samples()]
    assert without == [n for n, o in ALL_OPS.items() if o.cannot_run]


RUNTIME_CALLS = {
    "R.ccl.allreduce(x, 'sum', True)": "float32[2, 3]",
    "R.ccl.allgather(x, 2)": "float32[4, 3]",
    "R.ccl.broadcast_from_worker0(x)": "float32[2, 3]",
    "R.ccl.scatter_from_worker0(x, 2, 0)": "float32[1, 3]",
    "R.grad.nll_loss_backward(x, x, i)": "float32[2, 3]",
    "R.grad.take_backward(x, x, i, axis=0)": "float32[2, 3]",
    "R.grad.max_pool2d_backward(p, p, (2, 2))": "float32[1, 1, 4, 4]",
    "R.grad.avg_pool2d_backward(p, p, (2, 2))": "float32[1, 1, 4, 4]",
    "R.builtin.alloc_tensor(R.shape([2, 3]), R.dtype('float16'), R.prim_value(0))": "float16[2, 3]",
    "R.memory.alloc_storage(R.shape([24]), R.prim_value(0), R.str('global'), R.dtype('uint8'))": "",
    "R.memory.alloc_tensor(s, R.prim_value(0), R.shape([2]), R.dtype('int8'))": "int8[2]",
    "R.memory.kill_storage(s)": "",
    "R.memory.kill_tensor(x)": "",
    "R.vm.alloc_storage(R.shape([24]), R.prim_value(0), R.dtype('uint8'))": "",
    "R.vm.alloc_tensor(s, R.prim_value(0), R.shape([2]), R.dtype('int8'))": "int8[2]",
    "R.vm.kill_object(s)": "",
    "R.vm.call_tir_dyn('copy', (x, i, R.shape([2])))": "",
}


@pytest.mark.parametrize("text", RUNTIME_CALLS)
def test_an_operator_of_the_run_time_is_read_typed_and_refused(text: str) -> None:
    script = (
        "@R.function(pure=False)\n"
        'def main(x: R.Tensor((2, 3), "float32"), i: R.Tensor((2,), "int64"), s: R.Any,'
        ' p: R.Tensor((1, 1, 4, 4), "float32")):\n'
        f"    lv = {text}\n"
        "    return lv\n"
    )
    module = parse_module(script)
    check_well_formed(module)
    assert structural_equal(parse_module(print_module(module)), module)
    (block,) = module.relax_function().body.blocks
    if RUNTIME_CALLS[text]:
        assert str(block.bindings[0].var.type) == RUNTIME_CALLS[text]
    x, i = np.zeros((2, 3), np.float32), np.zeros(2, np.int64)
    with pytest.raises(TypeCheckError, match="cannot be run"):
        interpret(module, x, i, object(), np.zeros((1, 1, 4, 4), np.float32))


def test_every_operator_that_cannot_run_is_tried() -> None:
    tried = {text[2 : text.index("(")] for text in RUNTIME_CALLS}
    elsewhere = {n for n in ALL_OPS if n.startswith("dist.")}  # tests/ir/test_distributed.py
    assert tried == {n for n, o in ALL_OPS.items() if o.cannot_run} - elsewhere


F32 = np.zeros((4, 5), np.float32)
MISUSES = [
    ("add", (F32, F32.astype(np.int32)), {}, "operands must have one dtype, got float32 and int32"),
    ("add", (F32, np.zeros((4, 6), np.float32)), {}, "cannot broadcast"),
    ("add", (F32,), {}, "operand 1 (x2) of add is missing"),
    ("exp", (F32.astype(np.int64),), {}, "x must have a float dtype"),
    ("logical_not", (F32,), {}, "compare with not_equal"),
    ("matmul", (F32, F32), {}, "must be equal: 5 is not 4"),
    ("matmul", (F32, F32.T), {"out_dtype": "int32"}, "would cut sums of float32 off"),
    ("negative", (F32 > 0,), {}, "x must hold numbers"),
    ("std", (F32.astype(np.int32),), {}, "x must have a float dtype"),
    ("masked_fill", (F32.astype(np.uint8), F32 > 0), {"value": -1.0}, "-1.0 is no uint8"),
    ("slice_scatter", (F32, F32), {"start": 0, "end": 2}, "src must have the shape of the slice"),
    ("scatter_nd", (F32, np.zeros((2, 3), np.int64), F32), {}, "must be a number up to 2"),
    ("concat", ([F32, np.zeros((3, 4), np.float32)],), {"axis": 0}, "axis 1 must be equal"),
    ("permute_dims", (F32,), {"axes": (0, 0)}, "name one of 2 axes twice"),
    ("nn.softmax", (F32,), {"axis": 2}, "out of range"),
    ("nn.softmax", (F32,), {"axes": 2}, "has no attribute axes"),
    ("take", (F32, F32), {"axis": 0}, "indices must have an integer dtype"),
    ("nn.conv2d", (F32, F32), {}, "data must have 4 axes"),
    (
        "nn.conv2d",
        (np.zeros((1, 3, 4, 4), np.float32), np.zeros((8, 4, 3, 3), np.float32)),
        {},
        "3 is not 4",
    ),
]


@pytest.mark.parametrize(("name", "args", "attrs", "message"), MISUSES)
def test_misuse_is_explained(
    name: str, args: tuple[Any, ...], attrs: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(EqsatError, match=re.escape(message)):
        make_call(op(name), *args, **attrs)


def test_the_extremum_of_nothing_is_neutral() -> None:
    empty = np.zeros((3, 0), np.float32)
    for name, expected in (("max", -np.inf), ("min", np.inf)):
        result = op(name).reference(empty, axis=(1,), keepdims=False)
        np.testing.assert_array_equal(result, np.full(3, expected, np.float32))


def test_unknown_operator_lists_close_names() -> None:
    with pytest.raises(OperatorError, match=r"did you mean .*nn\.conv2d"):
        op("nn.conv2")


def test_unknown_shapes_pass_through() -> None:
    unknown = TensorType(UnknownShape(2), "float32")
    for name in ("exp", "nn.relu", "nn.softmax", "tril"):
        o = op(name)
        assert infer_type(o, [unknown], o.fill_attrs({})) == unknown
    o = op("add")
    known = TensorType((3, 4, 5), "float32")
    assert infer_type(o, [unknown, known], {}) == TensorType(UnknownShape(3), "float32")


def _double(name: str = "test.double") -> OpDef:
    return OpDef(
        name, (Operand("x"),), lambda types, attrs: types[0], lambda x: x * 2, OpKind.POINTWISE
    )


def test_register_op_adds_and_rejects() -> None:
    mine = register_op(_double())
    try:
        assert op("test.double") is mine
        with pytest.raises(OperatorError, match="taken"):
            register_op(_double())
    finally:
        ALL_OPS.remove("test.double")  # type: ignore[attr-defined]
    with pytest.raises(OperatorError, match="`reference` must accept"):
        register_op(
            OpDef("test.bad", (Operand("x"),), lambda t, a: t[0], lambda: 0, OpKind.POINTWISE)
        )


def test_null_and_constants_are_operands() -> None:
    call = make_call(op("linear"), F32, np.zeros((3, 5), np.float32), None)
    assert isinstance(call.args[0], Constant)
    assert isinstance(call.args[2], NullValue)
    assert call.type == TensorType((4, 3), "float32")


def test_typecheck_error_names_the_call() -> None:
    with pytest.raises((TypeCheckError, ShapeError)) as error:
        make_call(op("matmul"), F32, F32)
    assert "in matmul(float32[4, 5], float32[4, 5])" in error.value.__notes__[0]


# An oracle that shares no line with ours: onnxruntime.


def _onnxruntime(optype: str, inputs: list[Any], attrs: Mapping[str, Any]) -> Any:
    import onnxruntime as ort
    from onnx import TensorProto, helper

    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    names = [f"x{k}" if a is not None else "" for k, a in enumerate(inputs)]
    given = {n: a for n, a in zip(names, inputs, strict=True) if n}
    infos = [
        helper.make_tensor_value_info(n, kinds[a.dtype.name], a.shape) for n, a in given.items()
    ]
    node = helper.make_node(optype, names, ["y"], **attrs)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", infos, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)[0]


def _agree(name: str, args: list[Any], attrs: Mapping[str, Any], expected: Any) -> None:
    o = op(name)
    np.testing.assert_allclose(
        o.reference(*args, **o.fill_attrs(attrs)), expected, rtol=1e-4, atol=1e-4
    )


def _normal(*shape: int) -> Any:
    return np.random.default_rng(3).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("step", [(1, 1), (2, 1), (1, 2), (2, 2)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 2, 0, 1)])
def test_convolutions_match_onnxruntime(
    groups: int, step: tuple[int, int], pads: tuple[int, ...]
) -> None:
    stride, dilation = ([s, s] for s in step)
    x, onnx_attrs = _normal(2, 4, 9, 8), {"group": groups, "pads": pads}
    onnx_attrs |= {"strides": stride, "dilations": dilation}
    attrs = {"groups": groups, "padding": pads, "strides": stride, "dilation": dilation}
    w = _normal(6, 4 // groups, 3, 2)
    _agree("nn.conv2d", [x, w], attrs, _onnxruntime("Conv", [x, w], onnx_attrs))
    w = _normal(4, 6 // groups, 3, 2)
    expected = _onnxruntime("ConvTranspose", [x, w], onnx_attrs)
    _agree("nn.conv2d_transpose", [x, w], attrs, expected)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("count_include_pad", [False, True])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 1, 0)])
def test_pooling_matches_onnxruntime(
    ceil_mode: bool, count_include_pad: bool, pads: tuple[int, ...]
) -> None:
    x = _normal(1, 2, 8, 7)
    window = {"strides": [2, 2], "ceil_mode": int(ceil_mode), "pads": pads, "kernel_shape": [3, 3]}
    attrs = {"pool_size": 3, "strides": 2, "padding": pads, "ceil_mode": ceil_mode}
    _agree("nn.max_pool2d", [x], attrs, _onnxruntime("MaxPool", [x], window))
    expected = _onnxruntime(
        "AveragePool", [x], window | {"count_include_pad": int(count_include_pad)}
    )
    _agree("nn.avg_pool2d", [x], attrs | {"count_include_pad": count_include_pad}, expected)


@pytest.mark.parametrize("size", [(10, 12), (3, 4), (7, 1)])
@pytest.mark.parametrize(
    "mode", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
)
@pytest.mark.parametrize(
    ("method", "rounding"),
    [("linear", "floor"), ("cubic", "floor")]
    + [("nearest", r) for r in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")],
)
def test_resize_matches_onnxruntime(
    size: tuple[int, int], mode: str, method: str, rounding: str
) -> None:
    x, sizes = _normal(1, 2, 5, 6), np.array([1, 2, *size], np.int64)
    onnx_attrs = {"mode": method, "coordinate_transformation_mode": mode, "nearest_mode": rounding}
    attrs = {"method": method, "coordinate_transformation_mode": mode, "rounding_method": rounding}
    expected = _onnxruntime("Resize", [x, None, None, sizes], onnx_attrs)
    _agree("image.resize2d", [x, size], attrs, expected)


@pytest.mark.parametrize(
    ("mode", "rounding"),
    [
        ("half_pixel", "floor"),
        ("asymmetric", "floor"),
        ("pytorch_half_pixel", "floor"),
        ("align_corners", "round"),
    ],
)
def test_coordinates_choose_the_rounding_that_is_left_out(mode: str, rounding: str) -> None:
    x, size = _normal(1, 1, 5, 6), (9, 4)
    attrs = {"method": "nearest", "coordinate_transformation_mode": mode}
    given = op("image.resize2d").fill_attrs({**attrs, "rounding_method": rounding})
    expected = op("image.resize2d").reference(x, size, **given)
    _agree("image.resize2d", [x, size], {**attrs, "rounding_method": ""}, expected)


def test_rows_to_sample_from_outside_are_the_nearest():
    prob = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    rows = np.array([[-1], [-9], [7]])
    half = np.full((3, 1), 0.5, np.float32)
    found = op("multinomial_from_uniform").reference(prob, half, rows, dtype="int64")
    np.testing.assert_array_equal(found, [[1], [0], [1]])
