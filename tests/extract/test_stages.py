import pytest

from eqsat.extract import REFERENCE_PROFILE
from eqsat.extract._flops import computed
from eqsat.extract._product_price import Product, product_s
from eqsat.extract._stages import stages_s
from eqsat.ir import ObjectType, TensorType, TupleType, op


def seconds(name, types, **attrs):
    o = op(name)
    given = o.fill_attrs(attrs)
    operands = [*types, *(ObjectType() for _ in o.operands[len(types) :])]
    outputs = computed(o, operands, given, o.infer(operands, given))
    assert outputs is not None
    return stages_s(outputs, {}, REFERENCE_PROFILE)


def tensor(*dims, dtype="float32"):
    return TensorType(dims, dtype)


def einsum(subscripts, *shapes):
    return seconds("einsum", [TupleType(tuple(tensor(*s) for s in shapes))], subscripts=subscripts)


def test_einsum_of_a_product_costs_the_product():
    expected = product_s(Product(1, 64, 96, 32, 96), REFERENCE_PROFILE, 4.0, packs=True)
    assert einsum("ij,jk->ik", (64, 32), (32, 96)) == pytest.approx(expected)


def test_neighbours_that_lie_apart_cost_more():
    near = einsum("ij,jk->ik", (64, 32), (32, 96))
    assert near < einsum("ij,kj->ik", (64, 32), (96, 32))


def test_a_batch_is_so_many_products():
    one = product_s(Product(8, 64, 96, 32, 96), REFERENCE_PROFILE, 4.0, packs=True)
    assert einsum("bij,bjk->bik", (8, 64, 32), (8, 32, 96)) == pytest.approx(one)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,ij->ij", [(64, 32), (64, 32)]),
        ("ij,j->i", [(64, 32), (32,)]),
        ("i,ij->j", [(64,), (64, 32)]),
        ("ij->i", [(64, 32)]),
    ],
)
def test_without_rows_and_columns_there_is_no_product(subscripts, shapes):
    assert einsum(subscripts, *shapes) is None


def test_attention_is_priced_as_products_with_a_softmax_between():
    b, s, h, d = 1, 128, 12, 64
    whole = seconds("nn.attention", [tensor(b, s, h, d)] * 3)
    scores = product_s(Product(b * h, s, s, d, 1), REFERENCE_PROFILE, 4.0, packs=True)
    mixed = product_s(Product(b * h, s, d, s, d), REFERENCE_PROFILE, 4.0, packs=True)
    assert whole is not None
    # The softmax takes about as long as one of the products. Measured: 1.15 times the time of the
    # two products and the softmax as operators of their own.
    assert scores + mixed < whole < 2 * (scores + mixed)
