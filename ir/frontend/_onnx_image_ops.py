"""ONNX operators of images: resizing, and moving blocks between channels and space."""

from __future__ import annotations

from eqsat.ir._expr import Expr
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Known, Node, Result, Value
from eqsat.shapes import Dim, normalize_axes

_METHODS = {
    "nearest": "nearest_neighbor",
    "linear": "linear",
    "bilinear": "linear",
    "cubic": "cubic",
}
# The sizes that a scale gives may differ from a whole number by the rounding of a float32.
_SCALE_TOLERANCE = 1e-4


def resize(graph: GraphBuilder, node: Node) -> Result:
    """Resize an image (N, C, W) or (N, C, H, W) by scales or to sizes; Upsample as well."""
    dims = graph.shape_of(node.input(0), node)
    if len(dims) not in (3, 4):
        raise node.fail(
            f"Resize of rank {len(dims)} is not supported; (N, C, W) and (N, C, H, W) are"
        )
    if node.attr("keep_aspect_ratio_policy", "stretch") != "stretch" or node.attr("antialias", 0):
        raise node.fail("keep_aspect_ratio_policy and antialias are not supported")
    target = _target(graph, node, dims)
    if target[:2] != dims[:2]:
        raise node.fail(
            f"batch and channel can't be resized, asked from {dims[:2]} to {target[:2]}"
        )
    data = graph.expr(node.input(0))
    if len(dims) == 3:
        wide = graph.call("reshape", data, (*dims[:2], 1, dims[2]))
        return graph.call("reshape", _resize2d(graph, node, wide, (1, target[2])), target)
    return _resize2d(graph, node, data, target[2:])


def _resize2d(graph: GraphBuilder, node: Node, data: Expr, size: tuple[Dim, ...]) -> Expr:
    mode = node.attr("mode", "nearest")
    transformation, rounding = _sampling(node)
    return graph.call(
        "image.resize2d",
        data,
        size,
        layout="NCHW",
        method=_METHODS[mode],
        coordinate_transformation_mode=transformation,
        rounding_method=rounding if mode == "nearest" else "",
        cubic_alpha=node.attr("cubic_coeff_a", -0.75),
        cubic_exclude=node.attr("exclude_outside", 0),
        extrapolation_value=node.attr("extrapolation_value", 0.0),
    )


def _sampling(node: Node) -> tuple[str, str]:
    """Return the coordinate transformation and the rounding of nearest."""
    if node.opset < 11:
        return "asymmetric", "floor"
    transformation = node.attr("coordinate_transformation_mode", "half_pixel")
    if transformation == "tf_crop_and_resize":
        raise node.fail("tf_crop_and_resize is not supported")
    return transformation, node.attr("nearest_mode", "round_prefer_floor")


def _target(graph: GraphBuilder, node: Node, dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Return the dims of the result."""
    axes = normalize_axes(node.attr("axes", range(len(dims))), len(dims))
    result = list(dims)
    if node.opset >= 11 and node.input(3) is not None:
        sizes = graph.dims(node.input(3), node, "sizes")
        for axis, size in zip(axes, sizes, strict=True):
            result[axis] = size
        return tuple(result)
    for axis, factor in zip(axes, _scales(node), strict=True):
        result[axis] = _scaled(dims[axis], factor, node)
    return tuple(result)


def _scales(node: Node) -> list[float]:
    if "scales" in node.attrs:  # Upsample before opset 9
        return list(node.attrs["scales"])
    scales: Value = node.input(2 if node.opset >= 11 else 1)
    if not isinstance(scales, Known) or scales.is_symbolic:
        raise node.fail("the scales must be constants")
    factors = [float(s) for s in scales.array.reshape(-1)]
    shrinks = any(f < 1 for f in factors)
    if node.opset < 11 and shrinks and node.attr("mode", "nearest") == "nearest":
        raise node.fail(
            "shrinking by nearest is ambiguous before opset 11; export with a newer one"
        )
    return factors


def _scaled(dim: Dim, factor: float, node: Node) -> Dim:
    if factor == round(factor):
        return dim * round(factor)
    if not isinstance(dim, int):
        raise node.fail(f"a symbolic size {dim} can only be scaled by a whole number, not {factor}")
    size = round(dim * factor)
    if abs(size - dim * factor) > _SCALE_TOLERANCE:
        raise node.fail(
            f"the size {dim} scaled by {factor} is {dim * factor}, no whole number; state "
            "sizes instead"
        )
    return size


def depth_to_space(graph: GraphBuilder, node: Node) -> Result:
    """Move blocks of channels into space."""
    n, c, h, w = graph.shape_of(node.input(0), node)
    b = node.attr("blocksize")
    x = graph.expr(node.input(0))
    if node.attr("mode", "DCR") == "DCR":
        x = graph.call("reshape", x, (n, b, b, c // (b * b), h, w))
        x = graph.call("permute_dims", x, axes=(0, 3, 4, 1, 5, 2))
    else:
        x = graph.call("reshape", x, (n, c // (b * b), b, b, h, w))
        x = graph.call("permute_dims", x, axes=(0, 1, 4, 2, 5, 3))
    return graph.call("reshape", x, (n, c // (b * b), h * b, w * b))


def space_to_depth(graph: GraphBuilder, node: Node) -> Result:
    """Move blocks of space into channels."""
    n, c, h, w = graph.shape_of(node.input(0), node)
    b = node.attr("blocksize")
    x = graph.call("reshape", graph.expr(node.input(0)), (n, c, h // b, b, w // b, b))
    x = graph.call("permute_dims", x, axes=(0, 3, 5, 1, 2, 4))
    return graph.call("reshape", x, (n, c * b * b, h // b, w // b))
