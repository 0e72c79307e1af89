import pytest

from eqsat.extract import REFERENCE_PROFILE
from eqsat.extract._flops import product_of
from eqsat.extract._product_price import Product, best_tile, product_s, window_s
from eqsat.ir import op


def seconds(p, *, packs=False):
    return product_s(p, REFERENCE_PROFILE, 4.0, packs=packs)


def test_time_is_never_below_the_peak():
    for m in (1, 3, 6, 7, 64):
        for n in (1, 5, 16, 49, 3136):
            p = Product(2, m, n, 32, n)
            assert seconds(p) * REFERENCE_PROFILE.fma_flops_per_s >= p.flops


def test_a_tile_that_fits_wastes_little():
    assert best_tile(96, 512, 8, 16).slowdown == pytest.approx(1.0)
    assert best_tile(1, 512, 8, 16).slowdown > 1.1
    assert best_tile(96, 9, 8, 16).slowdown > 1.7


def test_one_product_is_no_dearer_than_its_parts():
    for m in (4, 128, 1024):
        for width in (64, 256, 384):
            parts = 3 * seconds(Product(1, m, width, width, width))
            assert seconds(Product(1, m, 3 * width, width, 3 * width)) <= parts * 1.001


def test_packing_costs_more_where_neighbours_lie_apart():
    near, far = Product(1, 64, 784, 64, 784), Product(1, 64, 784, 64, 1)
    assert seconds(near) < seconds(near, packs=True) < seconds(far, packs=True)
    # A few rows read their second operand where it lies.
    assert seconds(Product(1, 2, 784, 64, 784)) == seconds(Product(1, 2, 784, 64, 784), packs=True)


def test_convolution_is_tiled_by_pixels_of_one_image():
    conv = op("nn.conv2d")
    attrs = conv.fill_attrs({"padding": (1, 1, 1, 1)})
    p = product_of(conv, attrs, (2, 8, 14, 14), (32, 8, 3, 3), (2, 32, 14, 14))
    assert (p.batch, p.m, p.n, p.k, p.run) == (2, 32, 196, 72, 14)
    attrs = conv.fill_attrs({})
    p = product_of(conv, attrs, (2, 8, 14, 14), (32, 8, 1, 1), (2, 32, 14, 14))
    assert (p.m, p.n, p.run) == (32, 196, 196)
    attrs = conv.fill_attrs({"strides": (2, 2)})
    assert product_of(conv, attrs, (2, 8, 14, 14), (32, 8, 1, 1), (2, 32, 7, 7)).run == 1


def test_layouts_say_which_neighbours_lie_together():
    conv = op("nn.conv2d")
    last, first = (2, 14, 14, 8), (2, 8, 14, 14)
    attrs = conv.fill_attrs({"data_layout": "NCHW", "out_layout": "NHWC"})
    p = product_of(conv, attrs, first, (32, 8, 1, 1), (2, 14, 14, 32))
    assert (p.m, p.n, p.k, p.has_window_rows) == (392, 32, 8, False)
    assert p.run == 1  # OIHW: output channels lie apart
    attrs = conv.fill_attrs({"data_layout": "NHWC", "kernel_layout": "HWIO"})
    p = product_of(conv, attrs, last, (3, 3, 8, 32), (2, 12, 12, 32))
    assert (p.run, p.has_window_rows) == (32, True)
    attrs = conv.fill_attrs({"data_layout": "NHWC", "out_layout": "NCHW"})
    p = product_of(conv, attrs, last, (32, 8, 1, 1), (2, 32, 14, 14))
    assert (p.m, p.n, p.run) == (32, 196, 1)


def test_rows_of_a_product_with_a_matrix_are_one_product():
    matmul = op("matmul")
    p = product_of(matmul, matmul.fill_attrs({}), (4, 128, 64), (64, 32), (4, 128, 32))
    assert (p.batch, p.m, p.n, p.k) == (1, 512, 32, 64)
    p = product_of(matmul, matmul.fill_attrs({}), (4, 128, 64), (4, 64, 32), (4, 128, 32))
    assert (p.batch, p.m) == (4, 128)


def test_windows_apart_and_maxima_cost_more():
    def price(**flags):
        kinds = {"is_strided": False, "is_maximum": False} | flags
        return window_s(1e6, 56, REFERENCE_PROFILE, **kinds)

    assert price() < price(is_strided=True) < price(is_strided=True, is_maximum=True)
    assert window_s(1e6, 7, REFERENCE_PROFILE, is_strided=False, is_maximum=False) > price()
