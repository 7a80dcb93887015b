"""What a network costs, by arithmetic on its shape: parameters, FLOPs, cache. No torch needed.

A multiply-add counts as two FLOPs. Counted are matrix products, the two convolutions and attention
scores and sums; norms, activations, softmax, rotary embedding and the residual merges are not
(under 2% at any size here).
"""

from __future__ import annotations

from dataclasses import dataclass

from openzaya.config.model import ModelConfig


@dataclass(frozen=True, slots=True)
class Parameters:
    """Counts by part; balancing biases are buffers and not counted."""

    by_part: dict[str, int]
    active_by_part: dict[str, int]
    entries: int
    """State-dict entries, the tied head and the balancing biases included."""

    @property
    def total(self) -> int:
        return sum(self.by_part.values())

    @property
    def active(self) -> int:
        """Used by one token: one expert of each layer, the embedding as the head."""
        return sum(self.active_by_part.values())

    @property
    def active_without_embedding(self) -> int:
        return self.active - self.by_part["embedding"]


def count_parameters(config: ModelConfig) -> Parameters:
    """Parameters of every part; for ZAYA1-8B the figures of the published checkpoint."""
    c, layers = config, config.num_hidden_layers
    d, k, kv = c.hidden_size, c.head_dim, c.num_key_value_heads * c.head_dim
    q = c.num_attention_heads * k
    expert = 3 * d * c.moe_intermediate_size
    biases = q + kv + kv + d if c.attention_bias else 0
    parts = {
        "embedding": c.vocab_size * d,
        "attention": layers * (2 * d * q + 2 * d * kv + c.num_key_value_heads + biases),
        "convolutions": layers * (c.conv_channels * 3 + c.conv_channels * (2 * k + 1)),
        "router": _router(c),
        "experts": layers * c.num_experts * expert,
        "residual scaling": layers * 8 * d,
        "norms": layers * 2 * d + d,
        "embedding affine": 2 * d,
    }
    active = parts | {"experts": layers * expert}
    router = 2 if c.router == "linear" else 10
    entries = 5 + layers * (22 + 5 * c.attention_bias + router) - (c.router == "mlp")
    return Parameters(parts, active, entries)


def _router(c: ModelConfig) -> int:
    layers, r = c.num_hidden_layers, c.router_hidden_size
    if c.router == "linear":
        return layers * c.hidden_size * c.router_classes
    mlp = r + 2 * (r * r + r) + c.router_classes * r
    return layers * (c.hidden_size * r + r + mlp + r) - r  # layer 0 has no depth average


@dataclass(frozen=True, slots=True)
class Flops:
    """Per token, by part. `head` is the product with the vocabulary."""

    projections: int
    convolutions: int
    router: int
    experts: int
    attention: int
    head: int

    @property
    def total(self) -> int:
        return sum(getattr(self, name) for name in Flops.__slots__)


def prefill_flops(config: ModelConfig, context: int, head: bool = False) -> Flops:
    """Mean per token of a prompt of `context` tokens; `head`: with logits for every token."""
    return _forward(config, [_causal_mean(context, w) for w in _windows(config)], head)


def decode_flops(config: ModelConfig, position: int) -> Flops:
    """One token that sees `position` stored ones and itself, head included."""
    seen = [min(position + 1, w or position + 1) for w in _windows(config)]
    return _forward(config, [float(s) for s in seen], True)


def training_flops(config: ModelConfig, context: int) -> Flops:
    """Mean per token of forward and backward, three times the forward, head included."""
    once = prefill_flops(config, context, head=True)
    return Flops(*(3 * getattr(once, name) for name in Flops.__slots__))


def _forward(c: ModelConfig, seen: list[float], head: bool) -> Flops:
    layers, d, k = c.num_hidden_layers, c.hidden_size, c.head_dim
    q, kv = c.num_attention_heads * k, c.num_key_value_heads * k
    r, classes = c.router_hidden_size, c.router_classes
    router = d * classes if c.router == "linear" else d * r + 2 * r * r + r * classes
    return Flops(
        projections=2 * layers * (2 * d * q + 2 * d * kv),
        convolutions=2 * layers * c.conv_channels * (2 + 2 * k),
        router=2 * layers * router,
        experts=2 * layers * 3 * d * c.moe_intermediate_size,
        attention=round(sum(4 * s * q for s in seen)),
        head=2 * d * c.vocab_size if head else 0,
    )


def _windows(config: ModelConfig) -> list[int | None]:
    layers = range(config.num_hidden_layers)
    return [config.sliding_window if i in config.sliding_layers else None for i in layers]


def _causal_mean(context: int, window: int | None) -> float:
    """Keys that a query sees, averaged over the positions of a document."""
    w = min(window or context, context)
    return (w * (w + 1) / 2 + (context - w) * w) / context


def cache_values(config: ModelConfig) -> tuple[int, int]:
    """Values stored per token, and once per sequence (the CCA context).

    Sliding layers are counted in full: the engine keeps what falls out of their window.
    """
    kv = config.num_key_value_heads * config.head_dim
    layers = config.num_hidden_layers
    return layers * 2 * kv, layers * (2 * config.conv_channels + kv // 2)
