"""Native programs: code generation, compilation and calls."""

from eqsat.backends._binding import short_dtype
from eqsat.backends._cpu import compile_program, compile_vm
from eqsat.backends._entry_point import EntryPoint
from eqsat.backends._errors import CacheError, CodegenError, RuntimeCheckError
from eqsat.backends._executable import Executable
from eqsat.backends._open_entry import OpenEntryPoint
from eqsat.backends._probe import NativeProbe
from eqsat.backends._profile import KernelTime, Profile
from eqsat.backends._target import Target, available_cpus, host_target
from eqsat.backends._vm_executable import VmExecutable
from eqsat.backends._vm_values import Closure

__all__ = [
    "CacheError",
    "Closure",
    "CodegenError",
    "EntryPoint",
    "Executable",
    "KernelTime",
    "NativeProbe",
    "OpenEntryPoint",
    "Profile",
    "RuntimeCheckError",
    "Target",
    "VmExecutable",
    "available_cpus",
    "compile_program",
    "compile_vm",
    "host_target",
    "short_dtype",
]

if __name__ == "backends":
    raise ImportError(
        "import eqsat.backends: the folder is a layer of eqsat, no package of its own"
    )
