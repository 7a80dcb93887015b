"""MoE++: the ZAYA1 network. One forward serves the trainer and the inference engine.

Its native input is a packed stream: the tokens of many documents end to end, with no padding.
`Layout` says where documents start; positions, convolution context and value shift restart there.

Shape suffixes used in this package:

    N  tokens of the stream            D  residual width (hidden_size)
    B  segments (documents, sequences) H  query heads      G  key/value heads
    T  time inside one segment         R  query heads per key/value head (H // G)
    K  head dim                        C  CCA channels, query heads then key heads
    E  experts (router classes)        F  expert intermediate width
    M  padded slots of the attention   V  vocabulary
"""

from openzaya.model.layout import Layout
from openzaya.model.state import DecodeState, LayerState
from openzaya.model.zaya import ModelOutput, ZayaForCausalLM

__all__ = ["DecodeState", "LayerState", "Layout", "ModelOutput", "ZayaForCausalLM"]
