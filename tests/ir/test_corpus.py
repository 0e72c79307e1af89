"""The corpus: programs in every form of every dialect, accepted ones and rejected ones.

A file holds programs under lines `#### name | dialect`, a rejected one under
`#### name | line:column | part of the message`; without a place the error is of the whole module.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eqsat.ir import IRModule, TypeCheckError, check_well_formed
from eqsat.ir._structural import structural_equal
from eqsat.ir.script import DIALECTS, ParseError, parse_module, print_module
from eqsat.shapes import EqsatError

CORPUS = Path(__file__).parent / "corpus"
ACCEPTED_FILES = ("relax.txt", "tensorir.txt")


def programs(file: str) -> list[tuple[list[str], str]]:
    """Return (fields of the headline, program) of every program in a file."""
    parts = re.split(r"^#### ", (CORPUS / file).read_text(), flags=re.MULTILINE)[1:]
    found: list[tuple[list[str], str]] = []
    for part in parts:
        headline, _, body = part.partition("\n")
        found.append(([f.strip() for f in headline.split(" | ")], body))
    return found


ACCEPTED = {f[0]: (f[1], text) for file in ACCEPTED_FILES for f, text in programs(file)}
REJECTED = {f[0].split(" |")[0]: (f, text) for f, text in programs("rejected.txt")}


def well_formed(text: str) -> IRModule:
    module = parse_module(text)
    check_well_formed(module)
    return module


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_programs_survive_in_every_dialect(name: str) -> None:
    module = well_formed(ACCEPTED[name][1])
    for dialect in DIALECTS:
        text = print_module(module, dialect=dialect)
        again = parse_module(text)
        assert structural_equal(module, again), f"{dialect}:\n{text}"
        assert print_module(again, dialect=dialect) == text


@pytest.mark.parametrize("name", REJECTED)
def test_rejected_programs_show_the_place(name: str) -> None:
    (_, *rest), text = REJECTED[name]
    place, message = (rest[0], rest[1]) if len(rest) > 1 else ("", rest[0].lstrip("| "))
    with pytest.raises(EqsatError) as caught:
        well_formed(text)
    shown = str(caught.value)
    assert isinstance(caught.value, (ParseError, TypeCheckError))
    assert message in shown
    if place:
        assert shown.startswith(f"<script>:{place}: "), shown
        notes = "\n".join([shown, *getattr(caught.value, "__notes__", [])])
        line = int(place.split(":")[0])
        assert f"  {line} | {text.splitlines()[line - 1]}" in notes
        assert "^" in notes


# Where TVM keeps another form of the same program: types less precise than the value's, dims in
# another order of terms, a loop over a literal of 32 bits there, marks on a Python function.
KEPT_OTHERWISE = {
    "closures", "call_with_prims", "shape_variable_in_type", "typevar_declarations",
    "symbol_in_attributes", "unannotated_function_result_of_global", "host_functions",
}  # fmt: skip
TVM_LOSES = {"types_all", "views_by_bound_words", "scalars_that_are_sizes"}
"""It prints `R.Callable(derive_func=...)` as `R.Callable`; it binds each absent dtype to a name; to
it two readings of one text differ where a scalar parameter stands in the result's type."""
NOT_IN_TVM = {"buffer_parameters", "extern_called", "printed_objects", "values_of_scalars_in_types"}
"""A row-major buffer over an int32 symbol (it mixes the widths); external functions by `cls.f`;
`R.render_object`, which its script namespace lacks; a scalar parameter after a size of its name."""


@pytest.mark.peer
@pytest.mark.parametrize("name", sorted(set(ACCEPTED) - NOT_IN_TVM))
def test_tvm_reads_what_we_print(name: str) -> None:
    tvm = pytest.importorskip("tvm", reason="TVM is not installed")
    from tvm_ffi import structural_equal as same_in_tvm

    dialect, text = ACCEPTED[name]
    theirs = tvm.script.from_source(print_module(parse_module(text)), check_well_formed=False)
    read = parse_module(theirs.script(show_meta=True))
    again = tvm.script.from_source(print_module(read), check_well_formed=False)
    assert same_in_tvm(theirs, again) or name in TVM_LOSES
    if dialect != "0.27" or name.startswith("pep695"):
        return
    original = tvm.script.from_source(text, check_well_formed=False)
    if not isinstance(original, tvm.IRModule):
        original = tvm.IRModule({next(iter(read.functions)): original})
    assert same_in_tvm(original, theirs) != (name in KEPT_OTHERWISE)
