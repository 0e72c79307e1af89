"""Operators, Relax programs and TensorIR: everything a program is made of."""

from eqsat.ir import (
    te,
    tir,
)
from eqsat.ir._attrs import AttrMap, Attrs, AttrValue
from eqsat.ir._bounds import unproved
from eqsat.ir._builder import (
    BlockBuilder,
)
from eqsat.ir._call import (
    Arg,
    infer_type,
    make_call,
)
from eqsat.ir._call_ops import CALL_OPS
from eqsat.ir._expr import (
    Binding,
    BindingBlock,
    Call,
    Constant,
    DataTypeImm,
    Expr,
    ExternFunc,
    Function,
    GlobalVar,
    If,
    IRModule,
    MatchCast,
    NullValue,
    PrimValue,
    SeqExpr,
    ShapeExpr,
    Span,
    StringImm,
    Tuple,
    TupleGetItem,
    Var,
    VarBinding,
)
from eqsat.ir._externs import (
    Extern,
    get_func,
    register_func,
    remove_func,
)
from eqsat.ir._guard import guarded
from eqsat.ir._interpret import (
    interpret,
)
from eqsat.ir._interpret_bind import RuntimeCheckError, bind_types, shown
from eqsat.ir._interpret_call import call_primfunc, empty_tensor, run_operator
from eqsat.ir._interpret_host import check_assertion, print_values, printing_to, render
from eqsat.ir._interpret_scalar import is_scalar_function
from eqsat.ir._interpret_te import (
    evaluate_te,
)
from eqsat.ir._interpret_tir import (
    run_primfunc,
)
from eqsat.ir._lattice import (
    BaseCheck,
    erase_to_well_defined,
    is_base_of,
    type_base_check,
    type_lca,
)
from eqsat.ir._normalize import (
    Copier,
    Inlined,
    LocalFunction,
    has_known_shape,
    is_known,
    normalized,
)
from eqsat.ir._one_device import require_one_device
from eqsat.ir._op import (
    REQUIRED,
    Attr,
    AttrKind,
    ComputeArg,
    ComputeResult,
    Numerics,
    OpDef,
    Operand,
    OperandKind,
    OpKind,
    Required,
    Sample,
)
from eqsat.ir._reads import attr_symbols, free_variables, symbols_read, type_symbols, variables_read
from eqsat.ir._requirements import (
    REQUIRES,
    requirement_text,
    size_requirements,
    stated_requirements,
)
from eqsat.ir._retype import with_argument_types
from eqsat.ir._specialize import specialized
from eqsat.ir._structural import structural_equal, structural_hash
from eqsat.ir._subtyping import bind_symbols, fits, result_of_call
from eqsat.ir._tir import (
    PrimFunc,
)
from eqsat.ir._types import (
    UNKNOWN_DTYPE,
    CallableType,
    DeviceMesh,
    DTensorType,
    ObjectType,
    Placement,
    PrimType,
    ShapeType,
    TensorType,
    TupleType,
    Type,
    TypeCheckError,
    UnknownShape,
    has_unknown_dtype,
    is_distributed,
    substitute_type,
    with_dtype,
    with_dtypes_of,
)
from eqsat.ir._wellformed import check_well_formed
from eqsat.ir._wellformed_tir import check_primfunc_accesses
from eqsat.ir.ops import (
    ALL_OPS,
    OperatorError,
    op,
    register_op,
)
from eqsat.ir.script import (
    ParseError,
    from_tvmscript,
    parse_module,
    print_function,
    print_module,
    print_primfunc,
)

__all__ = [
    "ALL_OPS",
    "CALL_OPS",
    "REQUIRED",
    "REQUIRES",
    "UNKNOWN_DTYPE",
    "Arg",
    "Attr",
    "AttrKind",
    "AttrMap",
    "AttrValue",
    "Attrs",
    "BaseCheck",
    "Binding",
    "BindingBlock",
    "BlockBuilder",
    "Call",
    "CallableType",
    "ComputeArg",
    "ComputeResult",
    "Constant",
    "Copier",
    "DTensorType",
    "DataTypeImm",
    "DeviceMesh",
    "Expr",
    "Extern",
    "ExternFunc",
    "Function",
    "GlobalVar",
    "IRModule",
    "If",
    "Inlined",
    "LocalFunction",
    "MatchCast",
    "NullValue",
    "Numerics",
    "ObjectType",
    "OpDef",
    "OpKind",
    "Operand",
    "OperandKind",
    "OperatorError",
    "ParseError",
    "Placement",
    "PrimFunc",
    "PrimType",
    "PrimValue",
    "Required",
    "RuntimeCheckError",
    "Sample",
    "SeqExpr",
    "ShapeExpr",
    "ShapeType",
    "Span",
    "StringImm",
    "TensorType",
    "Tuple",
    "TupleGetItem",
    "TupleType",
    "Type",
    "TypeCheckError",
    "UnknownShape",
    "Var",
    "VarBinding",
    "attr_symbols",
    "bind_symbols",
    "bind_types",
    "call_primfunc",
    "check_assertion",
    "check_primfunc_accesses",
    "check_well_formed",
    "empty_tensor",
    "erase_to_well_defined",
    "evaluate_te",
    "fits",
    "free_variables",
    "from_tvmscript",
    "get_func",
    "guarded",
    "has_known_shape",
    "has_unknown_dtype",
    "infer_type",
    "interpret",
    "is_base_of",
    "is_distributed",
    "is_known",
    "is_scalar_function",
    "make_call",
    "normalized",
    "op",
    "parse_module",
    "print_function",
    "print_module",
    "print_primfunc",
    "print_values",
    "printing_to",
    "register_func",
    "register_op",
    "remove_func",
    "render",
    "require_one_device",
    "requirement_text",
    "result_of_call",
    "run_operator",
    "run_primfunc",
    "shown",
    "size_requirements",
    "specialized",
    "stated_requirements",
    "structural_equal",
    "structural_hash",
    "substitute_type",
    "symbols_read",
    "te",
    "tir",
    "type_base_check",
    "type_lca",
    "type_symbols",
    "unproved",
    "variables_read",
    "with_argument_types",
    "with_dtype",
    "with_dtypes_of",
]

if __name__ == "ir":
    raise ImportError("import eqsat.ir: the folder is a layer of eqsat, no package of its own")
