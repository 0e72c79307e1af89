"""The metadata of a script: constants in TVM's JSON, tensors in base64."""

from __future__ import annotations

import base64
import binascii
import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eqsat.ir._expr import Constant
from eqsat.ir._types import DeviceMesh, DTensorType, Placement, TypeCheckError
from eqsat.shapes import DTYPES, EqsatError, bits, dlpack_code, dtype_name, itemsize, numpy_dtype

CONSTANTS = "ir.GenericConst"
DISTRIBUTED_TYPES = ("relax.DTensorType", "relax.DTensorStructInfo")
CONSTANT_KEYS = (CONSTANTS, "relax.expr.Constant")
_MAGIC = 0xDD5E40F096B4A13F
_HEADER = struct.Struct("<QQiii BBH")


class MetadataError(EqsatError):
    """The metadata of a script cannot be read."""


def encode_tensor(value: NDArray[np.generic]) -> str:
    """Return the base64 text of a tensor."""
    name = dtype_name(value.dtype)
    header = _HEADER.pack(_MAGIC, 0, 1, 0, value.ndim, dlpack_code(name), bits(name), 1)
    dims = struct.pack(f"<{value.ndim}q", *value.shape)
    data = np.ascontiguousarray(value.astype(value.dtype.newbyteorder("<"), copy=False)).tobytes()
    return base64.b64encode(header + dims + struct.pack("<q", len(data)) + data).decode()


def decode_tensor(text: str) -> NDArray[np.generic]:
    """Return the tensor of a base64 text.

    Raises:
        MetadataError: it is not one.
    """
    try:
        raw = base64.b64decode(text, validate=True)
        magic, _, _, _, ndim, code, width, lanes = _HEADER.unpack_from(raw)
        if magic != _MAGIC or lanes != 1 or not 0 <= ndim <= 32:
            raise MetadataError("a tensor's header is damaged")
        shape = struct.unpack_from(f"<{ndim}q", raw, _HEADER.size)
        start = _HEADER.size + 8 * ndim
        (num_bytes,) = struct.unpack_from("<q", raw, start)
    except (binascii.Error, struct.error, ValueError) as error:
        raise MetadataError(f"a tensor cannot be decoded: {error}") from None
    name = _dtype_of(code, width)
    data = raw[start + 8 :]
    if min(shape, default=0) < 0 or len(data) != num_bytes:
        raise MetadataError(f"a tensor of {num_bytes} bytes holds {len(data)}")
    if math.prod(shape) * itemsize(name) != num_bytes:
        raise MetadataError(f"a {name} tensor of shape {shape} cannot have {num_bytes} bytes")
    return np.frombuffer(data, numpy_dtype(name)).reshape(shape).copy()


def _dtype_of(code: int, width: int) -> str:
    for name in DTYPES:
        if (dlpack_code(name), bits(name)) == (code, width):
            return name
    if (code, width) in ((dlpack_code("uint8"), 1), (dlpack_code("bool"), 1)):
        return "bool"
    raise MetadataError(f"a tensor has the unknown type code {code} of {width} bits")


def encode_metadata(constants: Sequence[Constant], kind: str = CONSTANTS) -> str:
    """Return the JSON text that holds `constants` in order, under the key `kind`."""
    nodes: list[dict[str, Any]] = []
    seen: dict[str, int] = {}

    def add(kind: str, data: object = None) -> int:
        node = {"type": kind} if kind == "None" else {"type": kind, "data": data}
        key = json.dumps(node)
        if kind == "ffi.Tensor" or key not in seen:
            seen[key] = len(nodes)
            nodes.append(node)
        return seen[key]

    key = add("ffi.String", kind)
    none = add("None")
    items: list[int] = []

    def add_mesh(mesh: DeviceMesh) -> int:
        ids = add("ffi.Array", [add("int", i) for i in mesh.device_ids])
        listed = none
        if isinstance(mesh.device_ids, range):
            int32 = add("ir.PrimType", {"span": none, "dtype": "int32"})
            first, extent = (
                add("ir.IntImm", {"span": none, "ty": int32, "value": add("int", n)})
                for n in (mesh.device_ids.start, len(mesh.device_ids))
            )
            listed = add("ir.Range", {"min": first, "extent": extent, "span": none})
        shape = add("ffi.Shape", list(mesh.shape))
        data = {"shape": shape, "device_ids": ids, "device_range": listed}
        return add("relax.distributed.DeviceMesh", data)

    def add_distributed(ty: DTensorType, tensor_type: int) -> int:
        specs = [
            add("relax.distributed.PlacementSpec", {"axis": -1, "kind": 1})
            if axis is None
            else add("relax.distributed.PlacementSpec", {"axis": axis, "kind": 0})
            for axis in ty.placement.cuts
        ]
        placement = add("relax.distributed.Placement", {"dim_specs": add("ffi.Array", specs)})
        mesh = add_mesh(ty.mesh)
        data = {"span": none, "device_mesh": mesh, "placement": placement, "tensor_ty": tensor_type}
        return add("relax.DTensorType", data)

    for constant in constants:
        value = constant.value
        int64 = add("ir.PrimType", {"span": none, "dtype": "int64"})
        dims = [add("ir.IntImm", {"span": none, "ty": int64, "value": add("int", d)})
                for d in value.shape]  # fmt: skip
        values = add("ffi.Array", dims)
        shape_type = add("relax.ShapeType", {"span": none, "values": values, "ndim": value.ndim})
        shape = add("relax.expr.ShapeExpr", {"span": none, "ty": shape_type, "values": values})
        dtype = add("ir.PrimType", {"span": none, "dtype": dtype_name(value.dtype)})
        tensor_type = add(
            "relax.TensorType",
            {"span": none, "shape": shape, "dtype": dtype, "vdevice": none, "ndim": value.ndim},
        )
        if constant.distributed is not None:
            tensor_type = add_distributed(constant.distributed, tensor_type)
        tensor = add("ffi.Tensor", encode_tensor(value))
        nodes.append(
            {"type": CONSTANTS, "data": {"span": none, "ty": tensor_type, "value": tensor}}
        )
        items.append(len(nodes) - 1)
    array = add("ffi.Array", items)
    root = add("ffi.Map", [key, array])
    lines = ",\n".join(json.dumps(node) for node in nodes)
    version = json.dumps({"tvm_version": "0.27.0"})
    return f'{{"root_index": {root},\n"nodes": [\n{lines}],\n"metadata": {version}}}'


def decode_metadata(text: str) -> list[Constant]:
    """Return the constants in a JSON text.

    Raises:
        MetadataError: it is not such a text.
    """
    try:
        document = json.loads(text)
        nodes = document["nodes"]
        entries = nodes[document["root_index"]]["data"]
        for key, items in zip(entries[::2], entries[1::2], strict=True):
            if nodes[key]["data"] in CONSTANT_KEYS:
                return [_constant(nodes, i) for i in nodes[items]["data"]]
    except (
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        RecursionError,
        TypeCheckError,
    ) as error:
        raise MetadataError(f"the metadata is not TVM's JSON: {error!r}") from None
    return []


def _constant(nodes: list[Any], index: int) -> Constant:
    data = nodes[index]["data"]
    # TVM calls the field "value" since v0.26, "data" before.
    value = decode_tensor(nodes[data["value"] if "value" in data else data["data"]]["data"])
    made = Constant(value)
    ty = data.get("ty", data.get("struct_info_"))
    if ty is not None and nodes[ty]["type"] in DISTRIBUTED_TYPES:
        mesh, placement = _mesh(nodes, nodes[ty]["data"]), _placement(nodes, nodes[ty]["data"])
        made.distributed = DTensorType(made.tensor_type, mesh, placement)
    return made


def _mesh(nodes: list[Any], ty: Any) -> DeviceMesh:
    data = nodes[ty["device_mesh"]]["data"]
    shape = tuple(nodes[data["shape"]]["data"])
    ids = tuple(nodes[i]["data"] for i in nodes[data["device_ids"]]["data"])
    if nodes[data["device_range"]]["type"] == "None":
        return DeviceMesh(shape, ids)
    return DeviceMesh(shape, range(ids[0], ids[-1] + 1) if ids else range(0))


def _placement(nodes: list[Any], ty: Any) -> Placement:
    specs = nodes[nodes[ty["placement"]]["data"]["dim_specs"]]["data"]
    axes = [nodes[s]["data"]["axis"] for s in specs]
    return Placement(tuple(None if a < 0 else a for a in axes))
