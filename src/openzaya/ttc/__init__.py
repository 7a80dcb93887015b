"""Markovian RSA: recursive self-aggregation where only bounded tails pass between rounds.

Round 0 draws N independent rollouts of at most beta tokens. In each of T further rounds, N
prompts each show C tails (the last tau tokens) of the round before, drawn without replacement,
and the model writes again. No verifier, no ranking; a prompt never exceeds the problem plus
C * tau tokens, however long the population has been thinking (report arXiv 2605.05365). The
score is the mean correctness of the last population; one answer is its majority.

Other methods are points of the same design (`config.rsa.PRESETS`): T = 0 is parallel sampling,
with self-consistency and best-of-N; tau = beta is full RSA; C = 1 lets every slot continue from
its own tail (Delethink-like); PaCoRe carries answers through rounds of falling width.

Reading order: `run` (the loop), `board` (who may start), `rollout` (one of them), `tails` (what
survives a round), `prompts` (how the next round sees it), `choose` (one answer from many),
`journal` (how a run survives a kill).
"""

from openzaya.config.rsa import PRESETS, preset
from openzaya.ttc.check import check
from openzaya.ttc.choose import Scorer
from openzaya.ttc.cost import Cost
from openzaya.ttc.draws import derived_seed
from openzaya.ttc.journal import Journal, play, read_events
from openzaya.ttc.population import Candidate, Tokens
from openzaya.ttc.prompts import aggregation_messages, fixed_phrases
from openzaya.ttc.result import Result, replay
from openzaya.ttc.run import TailsFrom, reason
from openzaya.ttc.tails import tail_ids
from openzaya.ttc.vote import affordable, majority

__all__ = [
    "PRESETS",
    "Candidate",
    "Cost",
    "Journal",
    "Result",
    "Scorer",
    "TailsFrom",
    "Tokens",
    "affordable",
    "aggregation_messages",
    "check",
    "derived_seed",
    "fixed_phrases",
    "majority",
    "play",
    "preset",
    "read_events",
    "reason",
    "replay",
    "tail_ids",
]
