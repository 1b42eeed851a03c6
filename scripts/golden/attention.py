"""Golden values of attention: PyTorch's outputs and gradients of the function, its layers, 20 updates of an encoder and of a decoder, and one state dict.

What is given is made of one formula here and in the test (`pattern`), exact in float32. By PyTorch in float64. RMSNorm, rotary and
sinusoidal positions and causal convolutions are written out in its operations.
"""

import math

import numpy as np
import torch
from common import save, short, write

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
N = torch.nn
F = torch.nn.functional


def pattern(shape, factor, scale=32):
    """(i · factor mod 31 − 15)/scale."""
    n = int(np.prod(shape))
    return torch.tensor([((i * factor) % 31 - 15) / scale for i in range(n)]).reshape(shape)


def filled(module):
    for k, p in enumerate(module.parameters()):
        p.data = pattern(p.shape, 7 + 2 * k)
    return module


def holes(*shape):
    """True where a query may look: never nowhere."""
    n = int(np.prod(shape))
    mask = torch.tensor([(i * 7) % 5 != 0 for i in range(n)]).reshape(shape)
    mask[..., 0] = True
    return mask


def attention(q, k, v, mask=None, causal=False, scale=None):
    scores = q @ k.transpose(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -math.inf)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1) @ v


def within(lengths, steps):
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


# The function: shapes of q, k and v, options. Float masks are a pattern.
FUNCTIONS = [
    ([2, 3, 4], [2, 5, 4], [2, 5, 3], {}),
    ([2, 2, 4, 4], [2, 2, 4, 4], [2, 2, 4, 4], {"causal": True}),
    ([2, 3, 4], [2, 5, 4], [2, 5, 2], {"mask": "bool", "shape": [3, 5], "scale": 0.25}),
    ([2, 2, 3, 4], [2, 2, 5, 4], [2, 2, 5, 4], {"mask": "bool", "shape": [2, 1, 3, 5]}),
    ([2, 3, 4], [1, 3, 4], [2, 3, 4], {"mask": "float", "shape": [2, 3, 3], "causal": True}),
    ([3, 4], [5, 4], [5, 4], {"mask": "bool", "shape": [1, 5]}),
]
functions = []
for sq, sk, sv, options in FUNCTIONS:
    given = [pattern(s, 11 + 2 * i, 8).requires_grad_() for i, s in enumerate((sq, sk, sv))]
    mask = None
    if options.get("mask"):
        mask = holes(*options["shape"]) if options["mask"] == "bool" else pattern(options["shape"], 5, 8).requires_grad_()
    out = attention(*given, mask=mask, causal=options.get("causal", False), scale=options.get("scale"))
    inputs = given + ([mask] if options.get("mask") == "float" else [])
    gradients = torch.autograd.grad(out, inputs, pattern(out.shape, 13, 8))
    functions.append({"shapes": [sq, sk, sv], "options": options, "value": short(out), "gradients": [short(g) for g in gradients]})

M, T, S, E, H = 2, 3, 4, 4, 2
LENGTHS, MEMORY = [3, 1], [2, 4]
LAYERS = [
    ("MultiheadAttention", {}, {}), ("MultiheadAttention", {"bias": False}, {"causal": True}), ("MultiheadAttention", {}, {"lengths": LENGTHS}),
    ("MultiheadAttention", {}, {"mask": True}), ("cross", {}, {"lengths": MEMORY}), ("apart", {}, {}),
    ("TransformerEncoderLayer", {}, {}), ("TransformerEncoderLayer", {"activation": "gelu", "normFirst": True}, {"causal": True}),
    ("TransformerEncoderLayer", {"eps": 0.125}, {"lengths": LENGTHS}), ("TransformerDecoderLayer", {}, {"causal": True, "memoryLengths": MEMORY}),
    ("TransformerDecoderLayer", {"normFirst": True, "activation": "gelu"}, {"lengths": LENGTHS}),
    ("sizes", {"kdim": 3, "vdim": 5}, {}), ("sizes", {"kdim": 4, "vdim": 2, "bias": False}, {"lengths": MEMORY}),
    ("TransformerDecoder", {"activation": "gelu"}, {"causal": True, "memoryLengths": MEMORY}),
    ("TransformerDecoder", {"normFirst": True}, {"lengths": LENGTHS}),
]


def run(kind, layer, x, memory, options):
    causal = ~torch.ones(T, T, dtype=torch.bool).tril() if options.get("causal") else None
    padding = None if "lengths" not in options else ~within(options["lengths"], S if kind in ("cross", "sizes") else T)
    if kind == "sizes":
        return layer(x, *memory, key_padding_mask=padding, need_weights=False)[0]
    if kind in ("MultiheadAttention", "cross", "apart"):
        k, v = {"MultiheadAttention": (x, x), "cross": (memory, memory), "apart": (memory, memory * 2)}[kind]
        mask = ~holes(T, T) if options.get("mask") else causal
        return layer(x, k, v, attn_mask=mask, key_padding_mask=padding, need_weights=False)[0]
    if kind == "TransformerEncoderLayer":
        return layer(x, src_mask=causal, src_key_padding_mask=padding)
    hidden = None if "memoryLengths" not in options else ~within(options["memoryLengths"], S)
    return layer(x, memory, tgt_mask=causal, tgt_key_padding_mask=padding, memory_key_padding_mask=hidden)


def made(kind, options):
    if kind in ("MultiheadAttention", "cross", "apart"):
        return filled(N.MultiheadAttention(E, H, batch_first=True, bias=options.get("bias", True)))
    if kind == "sizes":
        return filled(N.MultiheadAttention(E, H, batch_first=True, bias=options.get("bias", True), kdim=options["kdim"], vdim=options["vdim"]))
    layer = getattr(N, kind.replace("Decoder", "DecoderLayer") if kind == "TransformerDecoder" else kind)(
        E, H, dim_feedforward=3, dropout=0, batch_first=True, activation=options.get("activation", "relu"),
        norm_first=options.get("normFirst", False), layer_norm_eps=options.get("eps", 1e-5))
    if kind == "TransformerDecoder":
        layer = N.TransformerDecoder(layer, 2, N.LayerNorm(E) if options.get("normFirst") else None)
    return filled(layer)


layers = []
for kind, options, inputs in LAYERS:
    layer = made(kind, options)
    x, memory = pattern((M, T, E), 11, 8).requires_grad_(), [pattern((M, S, E), 17, 8).requires_grad_()]
    if kind == "sizes":
        memory = [pattern((M, S, options[name]), 17 + 2 * i, 8).requires_grad_() for i, name in enumerate(("kdim", "vdim"))]
    out = run(kind, layer, x, memory if kind == "sizes" else memory[0], inputs)
    uses = kind in ("cross", "apart", "sizes", "TransformerDecoderLayer", "TransformerDecoder")
    gradients = torch.autograd.grad(out, [x, *(memory if uses else []), *layer.parameters()], pattern(out.shape, 13, 8))
    layers.append({
        "layer": kind, "options": options, "inputs": inputs, "names": [n for n, _ in layer.named_parameters()], "value": short(out),
        "gradients": [short(g) for g in gradients],
    })


def rotated(x, base=10000.0):
    d = x.shape[-1]
    angles = torch.arange(x.shape[-2])[:, None] * base ** (-torch.arange(d // 2) / (d // 2))
    a, b = x[..., : d // 2], x[..., d // 2:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def waves(steps, d):
    angles = torch.arange(steps)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(10000.0) / d))
    return torch.stack([angles.sin(), angles.cos()], -1).reshape(steps, -1)[:, :d]


def written(name, f, shape, *shapes):
    x = pattern(shape, 11, 8).requires_grad_()
    weights = [pattern(s, 7 + 2 * i).requires_grad_() for i, s in enumerate(shapes)]
    out = f(x, *weights)
    gradients = torch.autograd.grad(out, [x, *weights], pattern(out.shape, 13, 8))
    return {"name": name, "shape": list(shape), "value": short(out), "gradients": [short(g) for g in gradients]}


def rms(x, w, eps=1e-5):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w


others = [
    written("RMSNorm", rms, (2, 3, 4), (4,)),
    written("rotary", rotated, (2, 5, 6)),
    written("SinusoidalPositions", lambda x: x + waves(5, 6), (2, 5, 6)),
    written("LearnedPositions", lambda x, w: x + w[:3], (2, 3, 4), (5, 4)),
    written("CausalConv1d", lambda x, w, b: F.conv1d(F.pad(x, (4, 0)), w, b, dilation=2), (2, 3, 7), (4, 3, 3), (4,)),
]


class Encoder(N.Module):
    def __init__(self, norm):
        super().__init__()
        layer = N.TransformerEncoderLayer(E, H, 3, 0, "gelu", batch_first=True, norm_first=norm)
        self.encoder = N.TransformerEncoder(layer, 2, N.LayerNorm(E) if norm else None, enable_nested_tensor=False)
        self.linear = N.Linear(E, 2)

    def forward(self, x):
        return self.linear(self.encoder(x).mean(1))


class Decoder(N.Module):
    """Reads memories of several lengths, and gives an output a step."""

    def __init__(self, norm):
        super().__init__()
        layer = N.TransformerDecoderLayer(E, H, 3, 0, "gelu" if norm else "relu", batch_first=True, norm_first=norm)
        self.decoder = N.TransformerDecoder(layer, 2, N.LayerNorm(E) if norm else None)
        self.linear = N.Linear(E, 2)

    def forward(self, x, memory, counts):
        later = ~torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        return self.linear(self.decoder(x, memory, tgt_mask=later, memory_key_padding_mask=~within(counts, memory.shape[1])))


COUNTS = [4, 1, 3, 2, 4, 2]
RUNS = [(Encoder, False, "sgd"), (Encoder, True, "adam"), (Decoder, False, "sgd"), (Decoder, True, "adam")]
updates = []
for kind, norm, optimizer in RUNS:
    model = filled(kind(norm))
    given = [pattern((6, T, E), 11, 8)] + ([pattern((6, S, E), 17, 8), COUNTS] if kind is Decoder else [])
    y = pattern((6, 2) if kind is Encoder else (6, T, 2), 3, 16)
    # The gradient of the keys' biases is 0: Adam would magnify what rounding leaves of it, but for a large eps.
    step = torch.optim.SGD(model.parameters(), lr=0.1) if optimizer == "sgd" else torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-3)
    costs = []
    for _ in range(20):
        step.zero_grad()
        cost = F.mse_loss(model(*given), y)
        cost.backward()
        step.step()
        costs.append(float(cost))
    updates.append({
        "model": kind.__name__, "norm": norm, "optimizer": optimizer, "names": [n for n, _ in model.named_parameters()], "costs": short(costs),
        "parameters": [short(p.detach()) for p in model.parameters()],
    })

torch.manual_seed(5)
model = Encoder(True)
for p in model.parameters():
    p.data = p.data.float().double()
save("test/golden/attention.safetensors", {k.replace("encoder.", "0.", 1).replace("linear.", "2.", 1) if k.startswith(("encoder.", "linear."))
                                           else k: v for k, v in model.state_dict().items()})
saved = {"value": short(model(pattern((6, T, E), 11, 8)))}

write("test/golden/attention.json", "attention.py", f"torch {torch.__version__}", None,
      {"functions": functions, "layers": layers, "others": others, "updates": updates, "saved": saved})
