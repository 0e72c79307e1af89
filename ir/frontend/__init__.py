"""Importers: model files and TVM's modules to Relax."""

from eqsat.ir.frontend._errors import ImportModelError
from eqsat.ir.frontend._onnx import from_onnx
from eqsat.ir.frontend._tvm import from_tvm, to_tvm

__all__ = ["ImportModelError", "from_onnx", "from_tvm", "to_tvm"]
