"""All operators. A family is one module with one tuple; this file joins them."""

from __future__ import annotations

import copyreg
from collections.abc import Mapping
from typing import Any

from eqsat.ir._op import OpDef
from eqsat.ir.ops._binary import BINARY, TERNARY
from eqsat.ir.ops._collapse import COLLAPSE
from eqsat.ir.ops._create import CREATE
from eqsat.ir.ops._datatype import DATATYPE, SHAPES
from eqsat.ir.ops._device import DEVICE
from eqsat.ir.ops._distributed import DISTRIBUTED
from eqsat.ir.ops._gather import GATHER
from eqsat.ir.ops._grid import GRID
from eqsat.ir.ops._image import IMAGE
from eqsat.ir.ops._index import INDEX
from eqsat.ir.ops._inspect import INSPECT
from eqsat.ir.ops._join import JOIN
from eqsat.ir.ops._layout import LAYOUT
from eqsat.ir.ops._linear_algebra import LINEAR_ALGEBRA
from eqsat.ir.ops._loss import LOSS
from eqsat.ir.ops._nms import NMS
from eqsat.ir.ops._nn_activation import NN_ACTIVATION
from eqsat.ir.ops._nn_attention import NN_ATTENTION
from eqsat.ir.ops._nn_attention_var_len import NN_ATTENTION_VAR_LEN
from eqsat.ir.ops._nn_conv import NN_CONV
from eqsat.ir.ops._nn_norm import NN_NORM
from eqsat.ir.ops._nn_pool import NN_POOL
from eqsat.ir.ops._pad import PAD
from eqsat.ir.ops._quantize import QUANTIZE
from eqsat.ir.ops._rearrange import REARRANGE
from eqsat.ir.ops._registry import OperatorError, OperatorTable
from eqsat.ir.ops._reshape import RESHAPE
from eqsat.ir.ops._runtime import RUNTIME
from eqsat.ir.ops._sampling import SAMPLING
from eqsat.ir.ops._scatter import SCATTER
from eqsat.ir.ops._search import SEARCH
from eqsat.ir.ops._set import SETS
from eqsat.ir.ops._statistical import STATISTICAL
from eqsat.ir.ops._unary import UNARY
from eqsat.ir.ops._vision import VISION

_TABLE = OperatorTable(
    (
        *UNARY,
        *BINARY,
        *TERNARY,
        *CREATE,
        *DATATYPE,
        *SHAPES,
        *INSPECT,
        *INDEX,
        *GATHER,
        *SCATTER,
        *LINEAR_ALGEBRA,
        *RESHAPE,
        *JOIN,
        *REARRANGE,
        *STATISTICAL,
        *SEARCH,
        *NN_ACTIVATION,
        *NN_CONV,
        *NN_POOL,
        *NN_NORM,
        *NN_ATTENTION,
        *NN_ATTENTION_VAR_LEN,
        *PAD,
        *IMAGE,
        *QUANTIZE,
        *COLLAPSE,
        *SAMPLING,
        *LOSS,
        *GRID,
        *VISION,
        *NMS,
        *SETS,
        *DEVICE,
        *LAYOUT,
        *RUNTIME,
        *DISTRIBUTED,
    )
)

ALL_OPS: Mapping[str, OpDef] = _TABLE
"""Every operator by TVM's name without "relax."."""


def op(name: str) -> OpDef:
    """Return the operator `name` ("nn.conv2d"; a leading "relax." or "R." is ignored).

    Raises:
        OperatorError: there is none; the message lists names that look like it.
    """
    short = name.removeprefix("relax.").removeprefix("R.")
    if short in _TABLE:
        return _TABLE[short]
    close = _TABLE.close_names(short)
    hint = f"did you mean {', '.join(close)}?" if close else "see eqsat.ir.ALL_OPS."
    raise OperatorError(f"there is no operator {name!r}; {hint} Add your own with register_op")


def register_op(new: OpDef) -> OpDef:
    """Add an operator of your own to `ALL_OPS` and return it.

    Raises:
        OperatorError: the name is taken, or the declaration does not hold together.
    """
    return _TABLE.add(new)


def _reduced(o: OpDef) -> str | tuple[Any, ...]:
    """Pickle and copy a registered operator by its name: it is the same one in every module."""
    return (op, (o.name,)) if _TABLE.get(o.name) is o else o.__reduce_ex__(4)


copyreg.pickle(OpDef, _reduced)

__all__ = ["ALL_OPS", "OperatorError", "op", "register_op"]
