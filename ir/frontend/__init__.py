"""Importers: model files to Relax."""

from eqsat.ir.frontend._errors import ImportModelError
from eqsat.ir.frontend._onnx import from_onnx

__all__ = ["ImportModelError", "from_onnx"]
