"""README.md of a weights folder: what the network is and how to load it."""

from __future__ import annotations

from pathlib import Path

from openzaya.config.model import ModelConfig
from openzaya.model.account import count_parameters

SKIP = {
    "none": "The network has no skip class. Software that always scores one computes the same: the "
    "stored router is wider and gives that class probability 0.",
    "zero": "A token that is routed to the extra class passes through the block unchanged but for "
    "the residual scaling: transformers computes the same (5.23 takes that class's balancing bias "
    "for -1 whatever the file says).",
    "scaled": "A token that is routed to the extra class yields its normed input times its "
    "probability. **transformers computes zero there**: outputs differ for such tokens.",
}
THEIRS = """```python
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("this/folder")
```"""


def write_card(config: ModelConfig, folder: Path) -> None:
    """Describe `config` in `folder`/README.md."""
    parameters = count_parameters(config)
    # A linear router is ours alone: other software refuses the folder, as it should.
    others = config.router == "mlp"
    library = "library_name: transformers\n" if others else ""
    window = f", {len(config.sliding_layers)} sliding" if config.sliding_layers else ""
    (folder / "README.md").write_text(
        f"""---
{library}tags: [zaya, mixture-of-experts]
---

# A ZAYA model

| | |
|---|---|
| parameters | {parameters.total:,} |
| active per token, without embedding | {parameters.active_without_embedding:,} |
| layers | {config.num_hidden_layers}{window} |
| width | {config.hidden_size} |
| experts | {config.num_experts}, one per token |
| heads | {config.num_attention_heads} query, {config.num_key_value_heads} key/value |
| vocabulary | {config.vocab_size} |
| positions | {config.max_position_embeddings} |

## Loading

```python
from pathlib import Path
from openzaya.model.checkpoint import load_model
model = load_model(Path("this/folder"))
```

{THEIRS if others else "Its linear router is a baseline that other software does not have."}

{SKIP[config.skip_expert] if others else ""}
"""
    )
