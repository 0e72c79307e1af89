"""The laws of tensor algebra that TASO and TENSAT search with, those that are true.

Source: TASO (SOSP 2019), its axioms and the substitutions that follow from them; TENSAT (MLSys
2021) uses the same. Each law is two programs over the same inputs. Letters are sizes; every law is
tried with symbols and with numbers for them. `s` is a scalar that is not known at compile time,
`2.0` stands for one that is.

Left out as false: concat or sum of grouped convolutions that are not alike, elementwise laws under
broadcasting (see `eqsat/rules/_known_false.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.coverage._programs import Program, program

SIZES = {"b": 2, "m": 4, "k": 6, "n": 8, "p": 10, "c": 4, "h": 8, "w": 8, "o": 6, "q": 2}

# Inputs by the first letter of their names: matrices, square ones, images, kernels, scalars.
INPUTS = {
    "x": "m n",  # tensors of one shape
    "y": "m n",
    "z": "m n",
    "u": "m n",
    "s": "",
    "t": "",
    "A": "m k",
    "A2": "m k",
    "A3": "m p",
    "B": "k n",
    "B2": "k n",
    "B3": "p n",
    "C": "n p",
    "C2": "n p",
    "D": "p k",
    "E": "q k",
    "F": "k q",
    "R": "n n",
    "S": "n n",
    "T": "n n",
    "H": "m q",
    "G": "p n",
    "I": "b c h w",
    "J": "b c h w",
    "L": "b c h w",
    "K": "o c 3 3",
    "M": "o c 3 3",
    "N": "q c 3 3",
    "O": "c c 3 3",
    "V": "c c 3 3",
    "P": "o c 1 1",
    "Q": "o c 1 1",
    "I2": "b q h w",
    "K2": "o q 3 3",
    "J2": "q c h w",
}
# Kernels have sizes that are numbers: how many outputs there are decides where to cut.
STATIC = {"c", "o", "q", "h", "w"}


@dataclass(frozen=True)
class Law:
    """Two programs with one meaning."""

    name: str
    left: str
    right: str
    static: frozenset[str] = frozenset()

    @property
    def has_scalars(self) -> bool:
        """Whether it is about scalars."""
        return bool(re.search(r"\b[st]\b", self.left))

    @property
    def is_about_sizes(self) -> bool:
        """Whether guards look at sizes."""
        return self.name.split("-")[0] in ("matmul", "concat", "conv", "shared")

    def program(self, *, symbolic: bool, numbers: bool = False) -> Program:
        """Return the program that gives both sides, with sizes or with symbols for them.

        `numbers` puts 2 and 3 in the place of the scalars.
        """
        text = f"[{self.left}, {self.right}]"
        if numbers:
            text = re.sub(r"\bt\b", "3.0", re.sub(r"\bs\b", "2.0", text))
        used = sorted(set(re.findall(r"\b[A-Za-z]\d?\b", text)))
        symbols = set(SIZES) - STATIC - self.static if symbolic else set[str]()
        sized = {name: _sized(INPUTS[name], symbols) for name in used if name in INPUTS}
        return program(text, **sized)


def _sized(shape: str, symbols: set[str]) -> str:
    return " ".join(w if w in symbols else str(SIZES.get(w, w)) for w in shape.split())


def _laws(group: str, *pairs: tuple[str, str], static: str = "") -> tuple[Law, ...]:
    fixed = frozenset(static)
    return tuple(Law(f"{group}-{i}", left, right, fixed) for i, (left, right) in enumerate(pairs))


def _conv(x: str, w: str, more: str = "padding=1") -> str:
    return f"nn.conv2d({x}, {w}, {more})"


def _t(x: str) -> str:
    return f"permute_dims({x})"


def _cat(axis: int, *parts: str) -> str:
    return f"concat([{', '.join(parts)}], axis={axis})"


def _avg(x: str, more: str = "pool_size=(3, 3), padding=1") -> str:
    return f"nn.avg_pool2d({x}, {more})"


def _max(x: str, more: str = "pool_size=(3, 3), padding=1") -> str:
    return f"nn.max_pool2d({x}, {more})"


def _relu(x: str) -> str:
    return f"nn.relu({x})"


SUMS = _laws(
    "sum",
    ("x + y", "y + x"),
    ("(x + y) + z", "x + (y + z)"),
    ("z + (x + y)", "y + (x + z)"),
    ("z + (x + y)", "x + (y + z)"),
    ("z + (z + (x + y))", "(x + z) + (y + z)"),
    ("(x + y) + (y + z)", "y + (y + (x + z))"),
    ("z + (z + (x + y))", "y + (z + (x + z))"),
    ("(x + y) + (x + z)", "x + (x + (y + z))"),
    ("((x + y) + z) + u", "(u + y) + (z + x)"),
    ("x + (y + (z + u))", "((u + z) + y) + x"),
    ("(x - y) + z", "(z + x) - y"),
    ("x - (y - z)", "(x + z) - y"),
    ("-(x - y)", "y - x"),
    ("-(x + y)", "-y - x"),
)

PRODUCTS = _laws(
    "product",
    ("x * y", "y * x"),
    ("(x * y) * z", "x * (y * z)"),
    ("z * (x * y)", "y * (x * z)"),
    ("z * (x * y)", "x * (y * z)"),
    ("z * (z * (x * y))", "(x * z) * (y * z)"),
    ("(x * y) * (y * z)", "y * (y * (x * z))"),
    ("z * (z * (x * y))", "y * (z * (x * z))"),
    ("(x * y) * (x * z)", "x * (x * (y * z))"),
    ("((x * y) * z) * u", "(u * y) * (z * x)"),
    ("x * x", "square(x)"),
    ("x * (x * x)", "square(x) * x"),
    ("(-x) * y", "-(x * y)"),
    ("(-x) * (-y)", "x * y"),
)

DISTRIBUTIVE = _laws(
    "distributive",
    ("x * (y + z)", "x * y + x * z"),
    ("(x + y) * z", "y * z + x * z"),
    ("x * y + z * (x * y)", "y * (x + x * z)"),
    ("z * (y + x * y)", "y * (z + x * z)"),
    ("z * (y + x * y)", "y * z + x * (y * z)"),
    ("x * (y - z)", "x * y - x * z"),
    ("(x + y) * (z + u)", "(x * z + x * u) + (y * z + y * u)"),
    ("x + x", "x * 2.0"),
    ("x * 2.0 + x", "x * 3.0"),
)

SCALARS = _laws(
    "scalar",
    ("(x * s) * t", "x * (s * t)"),
    ("(x + y) * s", "x * s + y * s"),
    ("(x * y) * s", "x * (y * s)"),
    ("(x * y) * s", "(x * s) * y"),
    ("(z * (x * y)) * s", "(x * z) * (y * s)"),
    ("((x * y) * s) * s", "(x * s) * (y * s)"),
    ("x * y + (x * y) * s", "x * (y + y * s)"),
    ("(x * s) * y", "x * (s * y)"),
    ("(x + y * x) * s", "x * s + (y * s) * x"),
    (_t("x * s"), f"{_t('x')} * s"),
    (_t("x * 2.0"), f"{_t('x')} * 2.0"),
    (_t("(x * s) * t"), f"({_t('x')} * s) * t"),
    (_t("x + x * s"), f"{_t('x')} + {_t('x')} * s"),
    (_t("x * (x * s)"), f"{_t('x')} * ({_t('x')} * s)"),
    (_t(_relu("x * s")), _relu(f"{_t('x')} * s")),
    ("(A @ B) * s", "(A * s) @ B"),
    ("(A @ B) * s", "A @ (B * s)"),
    ("(A * s) @ B", "A @ (B * s)"),
    ("(A @ B) * 2.0", "A @ (B * 2.0)"),
    ("(A * s) @ (B * s)", "((A @ B) * s) * s"),
    ("((A @ B) @ C) * s", "(A * s) @ (B @ C)"),
    ("((A @ B) @ C) * s", "A @ ((B * s) @ C)"),
    ("(A @ (B @ C)) * s", "(A @ B) @ (C * s)"),
    ("(A @ (B * B2)) * s", "A @ (B * (B2 * s))"),
    ("(x * (A @ B)) * s", "x * (A @ (B * s))"),
    ("A @ B + (A @ B) * s", "A @ (B + B * s)"),
    ("A @ B + (A @ B) * s", "(A + A * s) @ B"),
    (f"x @ {_t('y * s')}", f"(x * s) @ {_t('y')}"),
    (f"{_t('x * s')} @ y", f"{_t('x')} @ (y * s)"),
    (f"{_t('x')} @ (y * s)", f"({_t('x')} @ y) * s"),
    (f"{_cat(0, 'x', 'y')} * s", _cat(0, "x * s", "y * s")),
    (f"{_cat(1, 'x', 'y')} * s", _cat(1, "x * s", "y * s")),
    (f"{_cat(1, 'x', 'y')} * 2.0", _cat(1, "x * 2.0", "y * 2.0")),
    (f"{_cat(0, 'y', 'x * y')} * s", _cat(0, "y * s", "x * (y * s)")),
    (f"{_cat(1, 'A @ B', '(A @ B) * s')}", f"A @ {_cat(1, 'B', 'B * s')}"),
    (f"{_cat(0, 'A @ B', '(A @ B) * s')}", f"{_cat(0, 'A', 'A * s')} @ B"),
    (_t(_cat(0, "x", "x * s")), _cat(1, _t("x"), f"{_t('x')} * s")),
    (f"{_conv('I', 'K')} * s", _conv("I * s", "K")),
    (f"{_conv('I', 'K')} * s", _conv("I", "K * s")),
    (_conv("I * s", "K"), _conv("I", "K * s")),
    (f"{_conv('I', 'K')} * 2.0", _conv("I * 2.0", "K")),
    (_conv("I * s", "K * s"), f"({_conv('I', 'K')} * s) * s"),
    (f"(I + {_conv('I', 'O')}) * s", f"I * s + {_conv('I * s', 'O')}"),
    (f"(J * {_conv('I', 'O')}) * s", f"J * {_conv('I * s', 'O')}"),
    (f"{_conv(_conv('I', 'O'), 'K')} * s", _conv(_conv("I * s", "O"), "K")),
    (f"{_conv('I * J', 'K')} * s", _conv("I * (J * s)", "K")),
    (f"{_conv('I', 'K * M')} * s", _conv("I", "M * (K * s)")),
    (f"{_conv('I', 'K')} + {_conv('I', 'K')} * s", _conv("I + I * s", "K")),
    (f"{_conv('I', 'K')} + {_conv('I', 'K')} * s", _conv("I", "K + K * s")),
    (_relu(f"{_conv('I', 'K')} * s"), _relu(_conv("I", "K * s"))),
    (_conv("I", "K * s", "strides=2"), f"{_conv('I', 'K', 'strides=2')} * s"),
    (f"{_avg('I')} * s", _avg("I * s")),
    (f"{_avg('I * J')} * s", _avg("J * (I * s)")),
    (f"{_avg('I')} + {_avg('I')} * s", _avg("I + I * s")),
    (f"(I + {_avg('I')}) * s", f"I * s + {_avg('I * s')}"),
    (f"(J * {_avg('I')}) * s", f"J * {_avg('I * s')}"),
    (f"{_avg(_avg('I'))} * s", _avg(_avg("I * s"))),
    (f"{_conv(_avg('I'), 'K')} * s", _conv(_avg("I * s"), "K")),
)

MATRICES = _laws(
    "matmul",
    ("(A @ B) @ C", "A @ (B @ C)"),
    ("(A @ B) @ (C @ D)", "(A @ (B @ C)) @ D"),
    ("(A @ B) @ (C @ D)", "A @ ((B @ C) @ D)"),
    ("((R @ S) @ T) @ T", "R @ ((S @ T) @ T)"),
    ("(R @ S) @ R", "R @ (S @ R)"),
    ("(T @ (R @ S)) @ R", "(T @ R) @ (S @ R)"),
    ("(R @ S) @ ((R @ S) @ R)", "(R @ (S @ R)) @ (S @ R)"),
    ("T @ (R @ (R @ S))", "((T @ R) @ R) @ S"),
    ("A @ B + A2 @ B", "(A + A2) @ B"),
    ("A @ B + A @ B2", "A @ (B + B2)"),
    ("A @ B - A2 @ B", "(A - A2) @ B"),
    ("A @ B + (A @ B) @ R", "A @ (B + B @ R)"),
    ("(R + R @ S) @ T", "R @ (T + S @ T)"),
    ("(R + S @ R) @ T", "R @ T + S @ (R @ T)"),
    ("A @ B + A3 @ B3", f"{_cat(1, 'A', 'A3')} @ {_cat(0, 'B', 'B3')}"),
    (_cat(1, "A @ B", "A @ F"), f"A @ {_cat(1, 'B', 'F')}"),
    (_cat(0, "A @ B", "E @ B"), f"{_cat(0, 'A', 'E')} @ B"),
    (f"{_cat(0, 'R', 'S @ R')} @ T", _cat(0, "R @ T", "S @ (R @ T)")),
    (_cat(1, "A @ B", "(A @ B) @ C"), f"A @ {_cat(1, 'B', 'B @ C')}"),
    ("A @ (B * 1.0)", "A @ B"),
    ("A @ eye(6)", "A * 1.0"),
    ("A @ array(eye_of(6))", "A * 1.0"),
    ("array(eye_of(6)) @ B", "B * 1.0"),
    ("A @ (eye(6) * s)", _t(f"{_t('A')} * s")),
    static="k",  # an identity matrix has a size that is a number
)

TRANSPOSES = _laws(
    "transpose",
    (_t(_t("x")), "x"),
    (_t("A @ B"), f"{_t('B')} @ {_t('A')}"),
    (_t("x + y"), f"{_t('x')} + {_t('y')}"),
    (_t("x * y"), f"{_t('y')} * {_t('x')}"),
    (_t("x - y"), f"{_t('x')} - {_t('y')}"),
    (_t(_relu("x")), _relu(_t("x"))),
    (_relu("x"), _t(_relu(_t("x")))),
    (_t(_cat(0, "x", "y")), _cat(1, _t("x"), _t("y"))),
    (_t(_cat(1, "x", "y")), _cat(0, _t("x"), _t("y"))),
    (_t(f"x @ {_t('y')}"), f"y @ {_t('x')}"),
    (_t(f"{_t('x')} @ y"), f"{_t('y')} @ x"),
    (f"x @ {_t('y')}", _t(f"y @ {_t('x')}")),
    (f"(A @ B) @ {_t('G')}", f"A @ (B @ {_t('G')})"),
    (f"(A @ B) @ {_t('y')}", f"A @ (B @ {_t('y')})"),
    (_t("x + " + _relu("x")), f"{_t('x')} + {_relu(_t('x'))}"),
    (_t("x * " + _relu("x")), f"{_t('x')} * {_relu(_t('x'))}"),
    (_t(f"{_relu('R')} @ R"), f"{_t('R')} @ {_relu(_t('R'))}"),
    (_t(f"R + {_t('S')}"), f"S + {_t('R')}"),
    (_t(_cat(0, "R", _t("R"))), _cat(1, _t("R"), "R")),
    (_cat(1, _relu("R"), _t(_relu("R"))), _relu(_cat(1, "R", _t("R")))),
    (_cat(0, "R * s", _t("R * s")), f"{_cat(0, 'R', _t('R'))} * s"),
    (f"R * s + {_t('R * s')}", f"(R + {_t('R')}) * s"),
    (f"S * {_t('R * s')}", f"(S * s) * {_t('R')}"),
    (_t("x") + " @ x", _t(f"{_t('x')} @ x")),
)

RECTIFIERS = _laws(
    "relu",
    (_relu(_relu("x")), _relu("x")),
    (_cat(0, _relu("x"), _relu("y")), _relu(_cat(0, "x", "y"))),
    (_cat(1, _relu("x"), _relu("y")), _relu(_cat(1, "x", "y"))),
    (_relu(_cat(1, "I", _conv("J", "K"))), _cat(1, _relu("I"), _relu(_conv("J", "K")))),
    (_relu(_cat(0, "I", _conv("J", "O"))), _cat(0, _relu("I"), _relu(_conv("J", "O")))),
    (_relu(_relu(_conv("I", "K"))), _relu(_conv("I", "K"))),
    (_cat(1, *(_relu(v) for v in "xyz")), _relu(_cat(1, "x", "y", "z"))),
)

CONCATS = _laws(
    "concat",
    (_cat(0, _cat(0, "x", "y"), "z"), _cat(0, "x", _cat(0, "y", "z"))),
    (_cat(1, _cat(1, "x", "y"), "z"), _cat(1, "x", "y", "z")),
    (_cat(0, _cat(1, "x", "y"), _cat(1, "z", "u")), _cat(1, _cat(0, "x", "z"), _cat(0, "y", "u"))),
    (_cat(0, _cat(1, "x", "y"), _cat(1, "y", "z")), _cat(1, _cat(0, "x", "y"), _cat(0, "y", "z"))),
    (_cat(0, "x + y", "z + u"), f"{_cat(0, 'x', 'z')} + {_cat(0, 'y', 'u')}"),
    (_cat(1, "x + y", "y + z"), f"{_cat(1, 'y', 'z')} + {_cat(1, 'x', 'y')}"),
    (_cat(0, "x + y", "z + u"), f"{_cat(0, 'x', 'u')} + {_cat(0, 'y', 'z')}"),
    (_cat(0, "x * y", "z * u"), f"{_cat(0, 'x', 'z')} * {_cat(0, 'y', 'u')}"),
    (_cat(1, "x * y", "y * z"), f"{_cat(1, 'y', 'z')} * {_cat(1, 'x', 'y')}"),
    (_cat(0, "x * y", "z * u"), f"{_cat(0, 'y', 'u')} * {_cat(0, 'x', 'z')}"),
    (f"split({_cat(1, 'I', 'I2')}, [4], axis=1)[0]", "I"),
    (f"split({_cat(1, 'I', 'I2')}, [4], axis=1)[1]", "I2"),
)

CONVOLUTIONS = _laws(
    "conv",
    (_conv("I", "K + M"), f"{_conv('I', 'K')} + {_conv('I', 'M')}"),
    (_conv("I + J", "K"), f"{_conv('J', 'K')} + {_conv('I', 'K')}"),
    (_conv("I - J", "K"), f"{_conv('I', 'K')} - {_conv('J', 'K')}"),
    (_conv("I", "P + Q", ""), f"{_conv('I', 'P', '')} + {_conv('I', 'Q', '')}"),
    (_conv("I + (J + L)", "K"), _conv("L + (I + J)", "K")),
    (
        f"{_conv('I', 'K')} + {_conv('I2', 'K2')}",
        _conv(_cat(1, "I", "I2"), _cat(1, "K", "K2")),
    ),
    (_cat(0, _conv("I", "K"), _conv("J2", "K")), _conv(_cat(0, "I", "J2"), "K")),
    (
        _cat(0, _relu(_conv("I", "K")), _relu(_conv("J2", "K"))),
        _relu(_conv(_cat(0, "I", "J2"), "K")),
    ),
    (_cat(1, _conv("I", "K"), _conv("I", "N")), _conv("I", _cat(0, "K", "N"))),
    (
        _cat(1, _relu(_conv("I", "K")), _relu(_conv("I", "N"))),
        _relu(_conv("I", _cat(0, "K", "N"))),
    ),
    (_cat(1, _conv("I", "K"), f"{_conv('I', 'K')} * s"), _conv("I", _cat(0, "K", "K * s"))),
    (_cat(0, _conv("I", "K"), f"{_conv('I', 'K')} * s"), _conv(_cat(0, "I", "I * s"), "K")),
    (
        _conv(_cat(1, "I", _cat(1, "J", "L")), _cat(1, "K", _cat(1, "M", "K"))),
        f"({_conv('I', 'K')} + {_conv('J', 'M')}) + {_conv('L', 'K')}",
    ),
    (_conv("I", "P", ""), _conv("I", "nn.pad(P, [0, 0, 0, 0, 1, 1, 1, 1])")),
    (
        _relu(_conv("I", "P", "")),
        _relu(_conv("I", "nn.pad(P, [0, 0, 0, 0, 1, 1, 1, 1])")),
    ),
    (
        f"{_conv('I', 'P', '')} * s",
        _conv("I * s", "nn.pad(P, [0, 0, 0, 0, 1, 1, 1, 1])"),
    ),
    (
        _conv("I", "P", "strides=2"),
        _conv("I", "nn.pad(P, [0, 0, 0, 0, 1, 1, 1, 1])", "strides=2, padding=1"),
    ),
    (
        _cat(1, _conv("I", "K"), _conv("I", "P", "")),
        _conv("I", _cat(0, "K", "nn.pad(P, [0, 0, 0, 0, 1, 1, 1, 1])")),
    ),
    (_conv("I", "array(identity_kernel(4))"), "I * 1.0"),
    (f"{_conv('I', 'array(identity_kernel(4))')} * s", "I * s"),
    (_relu(_conv("I", "array(identity_kernel(4))")), _relu("I")),
    (_conv(_conv("I", "K"), "array(identity_kernel(6))"), _conv("I", "K")),
    (
        _cat(1, _conv("I", "O"), _conv("J", "V")),
        _conv(_cat(1, "I", "J"), _cat(0, "O", "V"), "padding=1, groups=2"),
    ),
)

POOLS = _laws(
    "pool",
    (_cat(1, _avg("I"), _avg("I2")), _avg(_cat(1, "I", "I2"))),
    (_cat(0, _avg("I"), _avg("J2")), _avg(_cat(0, "I", "J2"))),
    (_cat(1, _max("I"), _max("I2")), _max(_cat(1, "I", "I2"))),
    (_cat(0, _max("I"), _max("J2")), _max(_cat(0, "I", "J2"))),
    (
        _cat(1, _max("I", "pool_size=(2, 2), strides=2"), _max("J", "pool_size=(2, 2), strides=2")),
        _max(_cat(1, "I", "J"), "pool_size=(2, 2), strides=2"),
    ),
    (_avg("I + J"), f"{_avg('I')} + {_avg('J')}"),
    (
        _avg("I", "pool_size=(3, 3), padding=1, count_include_pad=True"),
        _conv("I", "full((4, 1, 3, 3), 1 / 9)", "padding=1, groups=4"),
    ),
    (
        _avg("I", "pool_size=(3, 3), padding=1, count_include_pad=True"),
        _conv(
            "I", "array(9 * [4 * [1 / 9]], 'float32').T.reshape(4, 1, 3, 3)", "padding=1, groups=4"
        ),
    ),
    (
        _avg("I", "pool_size=(2, 2), strides=2"),
        _conv("I", "full((4, 1, 2, 2), 1 / 4)", "strides=2, groups=4"),
    ),
)

SHARED_OPERANDS = _laws(
    "shared",
    ("A @ B", f"split(A @ {_cat(1, 'B', 'F')}, [8], axis=1)[0]"),
    ("A @ F", f"split(A @ {_cat(1, 'F', 'B')}, [2], axis=1)[0]"),
    ("A @ F", f"split(A @ {_cat(1, 'B', 'F')}, [8], axis=1)[1]"),
    ("A @ B", f"split({_cat(0, 'A', 'E')} @ B, [4], axis=0)[0]"),
    ("E @ B", f"split({_cat(0, 'A', 'E')} @ B, [4], axis=0)[1]"),
    (_relu("x"), f"split({_relu(_cat(1, 'x', 'y'))}, 2, axis=1)[0]"),
    (_relu("y"), f"split({_relu(_cat(1, 'x', 'y'))}, 2, axis=1)[1]"),
    (_relu("x"), f"split({_relu(_cat(0, 'x', 'y'))}, 2, axis=0)[0]"),
    (_conv("I", "K"), f"split({_conv('I', _cat(0, 'K', 'N'))}, [6], axis=1)[0]"),
    (_conv("I", "N"), f"split({_conv('I', _cat(0, 'K', 'N'))}, [6], axis=1)[1]"),
    (_relu(_conv("I", "K")), f"split({_relu(_conv('I', _cat(0, 'K', 'N')))}, [6], axis=1)[0]"),
    (_conv("I", "K"), f"split({_conv(_cat(0, 'I', 'J'), 'K')}, 2, axis=0)[0]"),
    (_conv("J", "K"), f"split({_conv(_cat(0, 'I', 'J'), 'K')}, 2, axis=0)[1]"),
    (_relu(_conv("J", "K")), f"split({_relu(_conv(_cat(0, 'I', 'J'), 'K'))}, 2, axis=0)[1]"),
    static="bmn",  # `split` cuts at numbers
)

LAWS = (
    *SUMS,
    *PRODUCTS,
    *DISTRIBUTIVE,
    *SCALARS,
    *MATRICES,
    *TRANSPOSES,
    *RECTIFIERS,
    *CONCATS,
    *CONVOLUTIONS,
    *POOLS,
    *SHARED_OPERANDS,
)
