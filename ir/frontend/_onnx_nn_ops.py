"""ONNX operators of neural networks: convolution, pooling, normalization, products, activations."""

from __future__ import annotations

import numpy as np

from eqsat.ir._expr import Expr
from eqsat.ir.frontend._onnx_activation_ops import scalar_maker
from eqsat.ir.frontend._onnx_graph import GraphBuilder, Handler, Known, Node, Result, Value, known
from eqsat.shapes import Dim, normalize_axes, normalize_axis, numpy_dtype, product

_END = 2**31 - 1
_LAYOUTS = {1: ("NCW", "OIW", "IOW"), 2: ("NCHW", "OIHW", "IOHW"), 3: ("NCDHW", "OIDHW", "IODHW")}


def _spatial(graph: GraphBuilder, node: Node) -> tuple[Dim, ...]:
    dims = graph.shape_of(node.input(0), node)[2:]
    if not 1 <= len(dims) <= 3:
        raise node.fail(f"{len(dims)} spatial axes are not supported; 1 to 3 are")
    return dims


def _padding(
    node: Node, sizes: tuple[Dim, ...], kernel: list[int], strides: list[int], dilations: list[int]
) -> list[int]:
    """Return the padding as (begins…, ends…), `auto_pad` worked out."""
    rank = len(kernel)
    match node.attr("auto_pad", "NOTSET"):
        case "NOTSET":
            return list(node.attr("pads", [0] * (2 * rank)))
        case "VALID":
            return [0] * (2 * rank)
        case mode:
            totals = [
                _same_total(node, *p) for p in zip(sizes, kernel, strides, dilations, strict=True)
            ]
            small = [t // 2 for t in totals]
            large = [t - s for t, s in zip(totals, small, strict=True)]
            return small + large if mode == "SAME_UPPER" else large + small


def _same_total(node: Node, size: Dim, kernel: int, stride: int, dilation: int) -> int:
    span = (kernel - 1) * dilation + 1
    if not isinstance(size, int):
        if stride == 1:
            return span - 1
        raise node.fail("auto_pad=SAME with a stride needs the image size; fix it with dims=")
    return max(0, (-(-size // stride) - 1) * stride + span - size)


def conv(graph: GraphBuilder, node: Node) -> Result:
    """Convolution with an optional bias per output channel."""
    sizes = _spatial(graph, node)
    rank = len(sizes)
    weight = graph.shape_of(node.input(1), node)
    kernel = list(node.attr("kernel_shape", weight[2:]))
    strides, dilations = (list(node.attr(a, [1] * rank)) for a in ("strides", "dilations"))
    layout, kernel_layout, _ = _LAYOUTS[rank]
    result: Expr = graph.call(
        f"nn.conv{rank}d",
        graph.expr(node.input(0)),
        graph.expr(node.input(1)),
        strides=tuple(strides),
        padding=tuple(_padding(node, sizes, kernel, strides, dilations)),
        dilation=tuple(dilations),
        groups=node.attr("group", 1),
        data_layout=layout,
        kernel_layout=kernel_layout,
    )
    return _add_channel_bias(graph, node, result, rank)


def conv_transpose(graph: GraphBuilder, node: Node) -> Result:
    """Transposed convolution with an optional bias."""
    sizes = _spatial(graph, node)
    rank = len(sizes)
    layout, _, kernel_layout = _LAYOUTS[rank]
    result: Expr = graph.call(
        f"nn.conv{rank}d_transpose",
        graph.expr(node.input(0)),
        graph.expr(node.input(1)),
        strides=tuple(node.attr("strides", [1] * rank)),
        padding=tuple(_transposed_padding(graph, node, sizes)),
        output_padding=tuple(node.attr("output_padding", [0] * rank)),
        dilation=tuple(node.attr("dilations", [1] * rank)),
        groups=node.attr("group", 1),
        data_layout=layout,
        kernel_layout=kernel_layout,
    )
    return _add_channel_bias(graph, node, result, rank)


def _transposed_padding(graph: GraphBuilder, node: Node, sizes: tuple[Dim, ...]) -> list[int]:
    """Return the padding as (begins…, ends…), from `auto_pad` or `output_shape` where given."""
    rank, mode = len(sizes), node.attr("auto_pad", "NOTSET")
    wanted = node.attr("output_shape")
    if wanted is None and mode in ("NOTSET", "VALID"):
        return list(node.attr("pads", [0] * (2 * rank))) if mode == "NOTSET" else [0] * (2 * rank)
    kernel = node.attr("kernel_shape", graph.shape_of(node.input(1), node)[2:])
    strides, dilations = (node.attr(a, [1] * rank) for a in ("strides", "dilations"))
    extra = node.attr("output_padding", [0] * rank)
    totals: list[int] = []
    for i, size in enumerate(sizes):
        # Without output_shape the result is size · stride.
        rest = size * strides[i] - (size * strides[i] if wanted is None else wanted[-rank:][i])
        total = rest - strides[i] + extra[i] + (kernel[i] - 1) * dilations[i] + 1
        if not isinstance(total, int) or total < 0:
            raise node.fail(
                f"axis {i + 2} of size {size} has no padding that gives the output_shape"
            )
        totals.append(total)
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return small + large if mode == "SAME_UPPER" else large + small


def _add_channel_bias(graph: GraphBuilder, node: Node, result: Expr, rank: int) -> Result:
    if node.input(2) is None:
        return result
    return graph.call("add", result, _per_channel(graph, node, node.input(2), rank))


def _per_channel(graph: GraphBuilder, node: Node, value: Value, rank: int) -> Expr:
    """Return a vector over channels shaped to broadcast over `rank` trailing axes."""
    if isinstance(value, Known) and not value.is_symbolic:
        return graph.expr(known(value.array.reshape(-1, *(1,) * rank)))
    channels = graph.shape_of(value, node)[0]
    return graph.call("reshape", graph.expr(value), (channels, *(1,) * rank))


def pool(kind: str) -> Handler:
    """Return the handler of MaxPool or AveragePool."""

    def handler(graph: GraphBuilder, node: Node) -> Result:
        sizes = _spatial(graph, node)
        rank = len(sizes)
        kernel = list(node.required("kernel_shape"))
        strides, dilations = (list(node.attr(a, [1] * rank)) for a in ("strides", "dilations"))
        if node.num_outputs > 1:
            raise node.fail("the indices of MaxPool are not supported")
        padding = _padding(node, sizes, kernel, strides, dilations)
        ceil_mode = bool(node.attr("ceil_mode", 0)) and node.attr("auto_pad", "NOTSET") == "NOTSET"
        if ceil_mode:
            spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
            _check_last_window(node, sizes, spans, strides, padding)
        # TVM's max_pool has count_include_pad as well, without meaning.
        include_pad = bool(node.attr("count_include_pad", 0)) if kind == "avg" else False
        return graph.call(
            f"nn.{kind}_pool{rank}d",
            graph.expr(node.input(0)),
            pool_size=tuple(kernel),
            strides=tuple(strides),
            padding=tuple(padding),
            dilation=tuple(dilations),
            ceil_mode=ceil_mode,
            count_include_pad=include_pad,
            layout=_LAYOUTS[rank][0],
        )

    return handler


def _check_last_window(
    node: Node, sizes: tuple[Dim, ...], spans: list[int], strides: list[int], padding: list[int]
) -> None:
    """Raise where it is open whether ceil_mode's last window starts in the end padding.

    ONNX drops that one, and so does the operator for a known size.
    """
    for i, (size, span, stride) in enumerate(zip(sizes, spans, strides, strict=True)):
        after = padding[i + len(sizes)]
        if isinstance(size, int) or after + stride - 1 < span:
            continue
        raise node.fail(
            f"with ceil_mode the last window of axis {i + 2} (size {size}) may lie in the padding "
            "alone, which is not supported"
        )


def global_pool(op_name: str) -> Handler:
    """Return the handler of a reduction over all spatial axes."""

    def handler(graph: GraphBuilder, node: Node) -> Result:
        axes = tuple(range(2, len(graph.shape_of(node.input(0), node))))
        return graph.call(op_name, graph.expr(node.input(0)), axis=axes, keepdims=True)

    return handler


def batch_norm(graph: GraphBuilder, node: Node) -> Result:
    """Batch normalization with stored statistics."""
    if node.attr("training_mode", 0) or node.num_outputs > 1:
        raise node.fail("training-mode batch normalization is not supported; export in eval mode")
    if not node.attr("spatial", 1):
        raise node.fail("spatial=0 is not supported; only statistics per channel are")
    operands = [graph.expr(v) for v in node.inputs[:5]]
    epsilon = node.attr("epsilon", 1e-5)
    result = graph.call("nn.batch_norm", *operands, axis=1, epsilon=epsilon, training=False)
    return graph.block.get_item(result, 0)


def layer_norm(graph: GraphBuilder, node: Node) -> Result:
    """Normalization over the trailing axes from `axis`."""
    if node.num_outputs > 1:
        raise node.fail("mean and deviation as further outputs are not supported")
    dims = graph.shape_of(node.input(0), node)
    start = node.attr("axis", -1) % len(dims)
    axes = tuple(range(start - len(dims), 0))
    bias = node.input(2)
    if bias is None:
        dtype = numpy_dtype(graph.type_of(node.input(1), node).dtype)
        bias = known(np.zeros(_static(dims[start:], node), dtype))
    operands = (graph.expr(v) for v in (node.input(0), node.input(1), bias))
    return graph.call("nn.layer_norm", *operands, axes=axes, epsilon=node.attr("epsilon", 1e-5))


def rms_norm(graph: GraphBuilder, node: Node) -> Result:
    """Root-mean-square normalization over the trailing axes from `axis`."""
    dims = graph.shape_of(node.input(0), node)
    start = node.attr("axis", -1) % len(dims)
    axes = tuple(range(start - len(dims), 0))
    operands = graph.expr(node.input(0)), graph.expr(node.input(1))
    return graph.call("nn.rms_norm", *operands, axes=axes, epsilon=node.attr("epsilon", 1e-5))


def _static(dims: tuple[Dim, ...], node: Node) -> list[int]:
    sizes = [d for d in dims if isinstance(d, int)]
    if len(sizes) != len(dims):
        raise node.fail("the normalized axes must have static sizes")
    return sizes


def group_norm(graph: GraphBuilder, node: Node) -> Result:
    """Normalization over groups of channels."""
    rank = len(graph.shape_of(node.input(0), node))
    return graph.call(
        "nn.group_norm",
        *(graph.expr(v) for v in node.inputs),
        num_groups=node.required("num_groups"),
        channel_axis=1,
        axes=tuple(range(2, rank)),
        epsilon=node.attr("epsilon", 1e-5),
    )


def instance_norm(graph: GraphBuilder, node: Node) -> Result:
    """Normalization of each channel of each image."""
    rank = len(graph.shape_of(node.input(0), node))
    operands = (graph.expr(v) for v in node.inputs)
    axes = tuple(range(2, rank))
    epsilon = node.attr("epsilon", 1e-5)
    return graph.call("nn.instance_norm", *operands, channel_axis=1, axes=axes, epsilon=epsilon)


def lrn(graph: GraphBuilder, node: Node) -> Result:
    """Local response normalization: x / (bias + alpha / size · Σ x² over nearby channels)^beta."""
    data, size = graph.expr(node.input(0)), node.attr("size")
    dims = graph.shape_of(node.input(0), node)
    scalar = scalar_maker(graph, node)
    squared = graph.call("multiply", data, data)
    flat = graph.call("reshape", squared, (dims[0], 1, dims[1], _rest(dims)))
    before = (size - 1) // 2
    window = graph.call(
        "nn.avg_pool2d",
        flat,
        pool_size=(size, 1),
        padding=(before, 0, size - 1 - before, 0),
        count_include_pad=True,
    )
    mean = graph.call("reshape", window, dims)
    scaled = graph.call("multiply", mean, scalar(node.attr("alpha", 1e-4)))
    base = graph.call("add", scaled, scalar(node.attr("bias", 1.0)))
    return graph.call("divide", data, graph.call("power", base, scalar(node.attr("beta", 0.75))))


def _rest(dims: tuple[Dim, ...]) -> Dim:
    return product(dims[2:])


def gemm(graph: GraphBuilder, node: Node) -> Result:
    """Return alpha · A' · B' + beta · C."""
    a, b = graph.expr(node.input(0)), graph.expr(node.input(1))
    if node.attr("transA", 0):
        a = graph.call("permute_dims", a, axes=(1, 0))
    if node.attr("transB", 0):
        b = graph.call("permute_dims", b, axes=(1, 0))
    scalar = scalar_maker(graph, node)
    result = graph.call("matmul", a, b)
    if (alpha := node.attr("alpha", 1.0)) != 1.0:
        result = graph.call("multiply", result, scalar(alpha))
    if node.input(2) is None:
        return result
    c = graph.expr(node.input(2))
    if (beta := node.attr("beta", 1.0)) != 1.0:
        c = graph.call("multiply", c, scalar(beta))
    return graph.call("add", result, c)


def softmax(op_name: str) -> Handler:
    """Return the handler of Softmax or LogSoftmax."""

    def handler(graph: GraphBuilder, node: Node) -> Result:
        x, dims = graph.expr(node.input(0)), graph.shape_of(node.input(0), node)
        if node.opset >= 13:
            return graph.call(op_name, x, axis=node.attr("axis", -1))
        # Before opset 13: over all trailing axes from `axis` together.
        axis = normalize_axis(node.attr("axis", 1), len(dims))
        if axis == len(dims) - 1:
            return graph.call(op_name, x, axis=-1)
        flat = graph.call("reshape", x, (*dims[:axis], product(dims[axis:])))
        return graph.call("reshape", graph.call(op_name, flat, axis=-1), dims)

    return handler


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def pad(graph: GraphBuilder, node: Node) -> Result:
    """Add elements around a tensor; negative pads crop."""
    x, rank = graph.expr(node.input(0)), len(graph.shape_of(node.input(0), node))
    width = _pad_width(graph, node, rank)
    value = node.attr("value", 0.0)
    if node.input(2) is not None:
        value = float(graph.scalar(node.input(2), node, "the value"))
    cropped = [a for a in range(rank) if width[a][0] < 0 or width[a][1] < 0]
    if cropped:
        x = graph.call(
            "strided_slice",
            x,
            axes=tuple(cropped),
            begin=tuple(max(0, -width[a][0]) for a in cropped),
            end=tuple(min(-1, width[a][1]) if width[a][1] < 0 else _END for a in cropped),
        )
    flat = tuple(max(0, w) for pair in width for w in pair)
    if not any(flat):
        return x
    mode = _PAD_MODES[node.attr("mode", "constant")]
    return graph.call("nn.pad", x, pad_width=flat, pad_mode=mode, pad_value=value)


def _pad_width(graph: GraphBuilder, node: Node, rank: int) -> list[tuple[int, int]]:
    """Return what is added before and after each axis."""
    if "pads" in node.attrs:  # before opset 11
        given = list(node.attrs["pads"])
    else:
        given = graph.ints(node.input(1), node, "pads")
    axes = range(rank)
    if node.input(3) is not None:
        axes = normalize_axes(graph.ints(node.input(3), node, "axes"), rank)
    if len(given) != 2 * len(axes):
        raise node.fail(
            f"pads has {len(given)} numbers for {len(axes)} axes; it needs two for each"
        )
    width = [(0, 0)] * rank
    for i, axis in enumerate(axes):
        width[axis] = given[i], given[i + len(axes)]
    return width
