"""Calls of local functions are inlined, with what they take from around them, unless recursive."""

import numpy as np
import pytest

import eqsat
from eqsat.ir import check_well_formed, from_tvmscript, interpret

HEAD = """
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor(("n", 4), "float32"), y: R.Tensor((4,), "float32"), c: R.Tensor((), "bool")):
        n = T.int64()
"""  # noqa: E501
ONE_KERNEL = {
    "twice": """
        @R.function
        def inner(a: R.Tensor((n, 4), "float32")) -> R.Tensor((n, 4), "float32"):
            return R.exp(R.add(a, y))
        z = inner(x)
        return inner(z)
""",
    "nested": """
        @R.function
        def outer(a: R.Tensor((n, 4), "float32")) -> R.Tensor((n, 4), "float32"):
            b = R.multiply(a, y)
            @R.function
            def inner(v: R.Tensor((n, 4), "float32")) -> R.Tensor((n, 4), "float32"):
                return R.add(v, b)
            return inner(R.tanh(a))
        return outer(x)
""",
}
STAYS = {
    "recursive": """
        @R.function
        def loop(a: R.Tensor((n, 4), "float32")) -> R.Tensor((n, 4), "float32"):
            if R.less(R.max(a), R.const(5, "float32")):
                r = loop(R.add(a, R.const(1, "float32")))
            else:
                r = R.multiply(a, y)
            return r
        return loop(x)
""",
    "own sizes": """
        @R.function
        def inner(a: R.Tensor(("m", 4), "float32")) -> R.Tensor(("m", 4), "float32"):
            m = T.int64()
            return R.add(a, y)
        return inner(x)
""",
}
IN_BRANCH = """
        @R.function
        def inner(a: R.Tensor((n, 4), "float32")) -> R.Tensor((n, 4), "float32"):
            return R.add(a, y)
        if c:
            r = inner(R.exp(x))
        else:
            r = inner(R.tanh(x))
        return r
"""


def agree(text: str) -> eqsat.OptimizeResult:
    module = from_tvmscript(HEAD + text.rstrip())
    best = eqsat.optimize(module)
    check_well_formed(best.module)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    y = np.linspace(0, 1, 4, dtype=np.float32)
    for c in (True, False):
        args = x, y, np.array(c)
        wanted = interpret(module, *args)
        np.testing.assert_allclose(interpret(best.module, *args), wanted, rtol=1e-6)
        np.testing.assert_allclose(eqsat.compile(best)(*args), wanted, rtol=1e-5)
    return best


@pytest.mark.parametrize("name", ONE_KERNEL)
def test_inlined_into_one_kernel(name: str) -> None:
    best = agree(ONE_KERNEL[name])
    assert best.report.num_kernels == 1
    assert best.as_text().count("@R.function\n") == 1


def test_inlined_in_branches() -> None:
    assert "inner" not in agree(IN_BRANCH).as_text()


@pytest.mark.parametrize("name", STAYS)
def test_stays(name: str) -> None:
    assert "def loop" in (text := agree(STAYS[name]).as_text()) or "def inner" in text
