"""The border to llvmlite, which has no types."""

from __future__ import annotations

from importlib import import_module
from typing import Any

llvm: Any = import_module("llvmlite.binding")
version: str = f"{import_module('llvmlite').__version__} {llvm.llvm_version_info}"

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()
llvm.initialize_native_asmparser()
