"""Choosing a program: candidate kernels over the e-graph, their prices, and the cheapest cover."""

from eqsat.extract._extract import (
    DEFAULT_TIME_LIMIT_S,
    Progress,
    extract,
    input_cover,
    structure,
    variants,
)
from eqsat.extract._graph import ExtractError
from eqsat.extract._profile import (
    REFERENCE_PROFILE,
    DeviceProfile,
    MemoryLevel,
    NumpyProbe,
    Probe,
    load_profile,
)
from eqsat.extract._sizes import Sizes

__all__ = [
    "DEFAULT_TIME_LIMIT_S",
    "REFERENCE_PROFILE",
    "DeviceProfile",
    "ExtractError",
    "MemoryLevel",
    "NumpyProbe",
    "Probe",
    "Progress",
    "Sizes",
    "extract",
    "input_cover",
    "load_profile",
    "structure",
    "variants",
]

if __name__ == "extract":
    raise ImportError("import eqsat.extract: the folder is a layer of eqsat, no package of its own")
