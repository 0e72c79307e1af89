"""What torch exports, natively against onnxruntime: one compilation, many sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models._agree import check_native

pytestmark = pytest.mark.peer

_BATCHES = (2, 1, 5)


@pytest.fixture(autouse=True)
def models() -> Any:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import tests.models._torch_models as models

    return models


def floats(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def ids(*shape: int) -> NDArray[np.int64]:
    return np.random.default_rng(sum(shape)).integers(0, 100, shape)


def padded(batch: int, seq: int) -> NDArray[np.int64]:
    """Return a mask under which row i ends i tokens early."""
    return (np.arange(seq)[None] < np.maximum(1, seq - np.arange(batch))[:, None]).astype(np.int64)


@pytest.mark.parametrize("dynamo", [False, True])
def test_bert_with_a_mask(models: Any, dynamo: bool) -> None:
    sizes = ((2, 11), (1, 1), (3, 37), (1, 128))
    check_native(models.bert(dynamo), [{"ids": ids(*s), "mask": padded(*s)} for s in sizes])


@pytest.mark.parametrize(("name", "num_kv_heads"), [("gpt2", 4), ("llama", 2)])
def test_decoder_with_a_cache(models: Any, name: str, num_kv_heads: int) -> None:
    """The prompt on an empty cache, one token on a full one, several on a short one."""
    inputs = [
        {
            "ids": ids(batch, seq),
            "mask": np.ones((batch, past + seq), np.int64),
            **{n: floats(batch, num_kv_heads, past, 8) for n in ("k0", "v0", "k1", "v1")},
        }
        for batch, seq, past in ((2, 3, 7), (1, 13, 0), (1, 1, 200))
    ]
    check_native(getattr(models, name)(), inputs)


@pytest.mark.parametrize("dynamo", [False, True])
def test_vision_transformer(models: Any, dynamo: bool) -> None:
    check_native(models.vit(dynamo), [{"image": floats(n, 3, 32, 32)} for n in _BATCHES])


@pytest.mark.parametrize("dynamo", [False, True])
def test_diffusion_unet(models: Any, dynamo: bool) -> None:
    inputs = [{"x": floats(n, 4, 16, 16), "t": np.abs(floats(n))} for n in _BATCHES]
    check_native(models.unet(dynamo), inputs)


@pytest.mark.parametrize("dynamo", [False, True])
def test_mobile_network_on_images_of_any_size(models: Any, dynamo: bool) -> None:
    sizes = ((2, 32, 32), (1, 45, 31), (3, 17, 128))
    check_native(models.mobilenet(dynamo), [{"x": floats(n, 3, h, w)} for n, h, w in sizes])
