"""What was computed before a branch is read in it, unless something may have been overwritten."""

import numpy as np
import pytest

import eqsat
from eqsat.ir import from_tvmscript, interpret

BRANCH = """
@I.ir_module(s_tir=True)
class Module:
    @T.prim_func(private=True, s_tir=True)
    def clear(a: T.Buffer((2, 3), "float32")):
        for i, j in T.grid(2, 3):
            with T.sblock("clear"):
                vi, vj = T.axis.remap("SS", [i, j])
                a[vi, vj] = T.float32(0)

    @R.function
    def main(x: R.Tensor((2, 3), "float32"), y: R.Tensor((2, 3), "float32"), c: R.Tensor((), "bool")):
        cls = Module
        a = R.add(x, y)
        z = BETWEEN
        if c:
            r = R.multiply(R.add(x, y), z)
        else:
            r = R.subtract(R.add(x, y), z)
        return r
"""  # noqa: E501
READ = "R.exp(a)"
CLEARED = """R.call_tir_inplace(
            cls.clear, (a,), inplace_indices=[0], out_ty=R.Tensor((2, 3), "float32")
        )"""


@pytest.mark.parametrize(("between", "num_sums"), [(READ, 1), (CLEARED, 3)])
def test_sum_before_the_branch_is_read_in_it(between: str, num_sums: int) -> None:
    module = from_tvmscript(BRANCH.replace("BETWEEN", between))
    best = eqsat.optimize(module)
    assert best.as_text().count("R.add(") == num_sums
    x, y = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    exe = eqsat.compile(best)
    for c in (True, False):
        np.testing.assert_allclose(
            exe(x, y, np.asarray(c)), interpret(module, x, y, np.asarray(c)), rtol=1e-6
        )


def test_cast_names_no_size_twice() -> None:
    module = from_tvmscript("""
@R.function
def main(x: R.Tensor(("m", 4), "float32")):
    o = T.int64()
    p = T.int64()
    z = R.match_cast(x, R.Tensor((o, p), "float32"))
    return R.reshape(R.add(z, x), R.shape([o * p]))
""")
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(interpret(module, x), 2 * x.reshape(8))
    (result,) = module.relax_function("main").ret_type.dims
    assert str(result) == "m * 4"
