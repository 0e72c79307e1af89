"""Small models of the kinds that matter, with random weights, exported by torch."""

from __future__ import annotations

from typing import Any

import onnx
import torch
import transformers
from torch import nn
from torch.nn import functional
from transformers.cache_utils import DynamicCache

from benchmarks.torch_models import export

_ROWS = {0: "batch", 1: "seq"}
_NUM_LAYERS = 2


def _random(model: Any) -> Any:
    """Norms and biases start as ones and zeros, which would hide errors."""
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim == 1:
                p.add_(0.1 * torch.randn_like(p))
    return model.eval()


def _from_config(auto: Any, config: Any) -> Any:
    torch.manual_seed(0)
    return _random(auto.from_config(config, attn_implementation="sdpa"))


class _Encoder(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=ids, attention_mask=mask).last_hidden_state


def bert(dynamo: bool) -> onnx.ModelProto:
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=_NUM_LAYERS, num_attention_heads=4,
        intermediate_size=64, vocab_size=100,
    )  # fmt: skip
    ids = torch.ones(2, 11, dtype=torch.int64)
    encoder = _Encoder(_from_config(transformers.AutoModel, config)).eval()
    return export(encoder, (ids, ids), {"ids": _ROWS, "mask": _ROWS}, ["y"], dynamo=dynamo)


class _Decoder(nn.Module):
    """One step: the caches come and go as plain tensors."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids, mask, k0, v0, k1, v1):
        cache = DynamicCache()
        for i, (k, v) in enumerate(((k0, v0), (k1, v1))):
            cache.update(k, v, i)
        out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        layers = out.past_key_values.layers
        return (out.logits, *(t for layer in layers for t in (layer.keys, layer.values)))


def _decoder(config: Any, num_kv_heads: int) -> onnx.ModelProto:
    model = _Decoder(_from_config(transformers.AutoModelForCausalLM, config)).eval()
    names = [f"{kind}{i}" for i in range(_NUM_LAYERS) for kind in ("k", "v")]
    past = [torch.randn(2, num_kv_heads, 7, 8) for _ in names]
    args = (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 10, dtype=torch.int64), *past)
    dynamic = {"ids": _ROWS, "mask": {0: "batch", 1: "total"}}
    caches = {n: {0: "batch", 2: "past"} for n in names}
    outputs = ["logits", *(f"new_{n}" for n in names)]
    return export(model, args, {**dynamic, **caches}, outputs, dynamo=False)


def gpt2() -> onnx.ModelProto:
    return _decoder(transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, vocab_size=100), 4)


def llama() -> onnx.ModelProto:
    config = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=_NUM_LAYERS, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=48, vocab_size=100,
    )  # fmt: skip
    return _decoder(config, 2)


def vit(dynamo: bool) -> onnx.ModelProto:
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=_NUM_LAYERS, num_attention_heads=4,
        intermediate_size=64, image_size=32, patch_size=8,
    )  # fmt: skip
    model = _from_config(transformers.AutoModel, config)

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.model(pixel_values=image).last_hidden_state

    images = torch.randn(2, 3, 32, 32)
    return export(Tokens().eval(), (images,), {"image": {0: "batch"}}, ["y"], dynamo=dynamo)


class _Residual(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, c_in), nn.GroupNorm(4, c_out)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.time = nn.Linear(16, c_out)
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        h = self.conv1(functional.silu(self.norm1(x))) + self.time(t)[:, :, None, None]
        return self.conv2(functional.silu(self.norm2(h))) + self.skip(x)


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads, self.norm = num_heads, nn.GroupNorm(4, width)
        self.qkv, self.out = nn.Conv2d(width, 3 * width, 1), nn.Conv2d(width, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        heads = self.qkv(self.norm(x)).view(b, 3, self.num_heads, c // self.num_heads, h * w)
        q, k, v = heads.transpose(-1, -2).unbind(1)
        y = functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(-1, -2).reshape(b, c, h, w))


class _UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(4, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)
        self.down, self.up = nn.Conv2d(8, 16, 3, 2, 1), nn.Conv2d(16, 8, 3, padding=1)
        self.left, self.middle, self.right = _Residual(8, 8), _Residual(16, 16), _Residual(16, 8)
        self.attention, self.norm = _Attention(16, 2), nn.GroupNorm(4, 8)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        angles = t[:, None] * torch.exp(-torch.arange(8) * 0.5)[None]
        time = torch.cat((angles.sin(), angles.cos()), -1)
        left = self.left(self.first(x), time)
        middle = self.attention(self.middle(self.down(left), time))
        up = self.up(functional.interpolate(middle, scale_factor=2.0, mode="nearest"))
        right = self.right(torch.cat((up, left), 1), time)
        return self.last(functional.silu(self.norm(right)))


def unet(dynamo: bool) -> onnx.ModelProto:
    torch.manual_seed(0)
    args = (torch.randn(2, 4, 16, 16), torch.rand(2))
    dynamic = {"x": {0: "batch"}, "t": {0: "batch"}}
    return export(_random(_UNet()), args, dynamic, ["y"], dynamo=dynamo)


class _Squeeze(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.expand(functional.relu(self.reduce(functional.adaptive_avg_pool2d(x, 1))))
        return x * functional.hardsigmoid(scale)


def _inverted(c_in: int, width: int, c_out: int, k: int, stride: int, squeeze: bool) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(c_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.Hardswish(),
        nn.Conv2d(width, width, k, stride, k // 2, groups=width, bias=False),
        nn.BatchNorm2d(width), nn.ReLU6(), *([_Squeeze(width)] if squeeze else []),
        nn.Conv2d(width, c_out, 1, bias=False), nn.BatchNorm2d(c_out),
    )  # fmt: skip


def mobilenet(dynamo: bool) -> onnx.ModelProto:
    """Images of any size."""
    torch.manual_seed(0)

    class MobileNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish())
            self.a = _inverted(8, 16, 8, 3, 1, True)
            self.b = _inverted(8, 24, 12, 5, 2, False)
            self.head = nn.Sequential(nn.Linear(12, 20), nn.Hardswish(), nn.Linear(20, 10))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            y = self.b(x + self.a(x))
            return self.head(functional.adaptive_avg_pool2d(y, 1).flatten(1))

    dynamic = {"x": {0: "batch", 2: "h", 3: "w"}}
    model = _random(MobileNet())
    return export(model, (torch.randn(2, 3, 32, 32),), dynamic, ["y"], dynamo=dynamo)
