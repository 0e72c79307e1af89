"""TVMScript: programs as text."""

from eqsat.ir.script._dialect import DIALECTS
from eqsat.ir.script._parser import from_tvmscript, parse_module
from eqsat.ir.script._printer import print_function, print_module, print_primfunc
from eqsat.ir.script._source import ParseError

__all__ = [
    "DIALECTS",
    "ParseError",
    "from_tvmscript",
    "parse_module",
    "print_function",
    "print_module",
    "print_primfunc",
]
