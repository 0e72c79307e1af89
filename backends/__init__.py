"""Native programs: code generation, compilation and calls."""

from eqsat.backends._binding import short_dtype
from eqsat.backends._cpu import compile_program
from eqsat.backends._errors import CacheError, CodegenError, RuntimeCheckError
from eqsat.backends._executable import Executable
from eqsat.backends._probe import NativeProbe
from eqsat.backends._profile import KernelTime, Profile
from eqsat.backends._target import Target, available_cpus, host_target

__all__ = [
    "CacheError",
    "CodegenError",
    "Executable",
    "KernelTime",
    "NativeProbe",
    "Profile",
    "RuntimeCheckError",
    "Target",
    "available_cpus",
    "compile_program",
    "host_target",
    "short_dtype",
]

if __name__ == "backends":
    raise ImportError(
        "import eqsat.backends: the folder is a layer of eqsat, no package of its own"
    )
