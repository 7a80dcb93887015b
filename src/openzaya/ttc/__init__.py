"""Markovian RSA: recursive self-aggregation where only bounded tails pass between rounds.

Round 0 draws N independent rollouts of at most beta tokens. In each of T further rounds, N
prompts each show C tails (the last tau tokens) of the round before, drawn without replacement,
and the model writes again. No verifier, no ranking; a prompt never exceeds the problem plus
C * tau tokens, however long the population has been thinking (report arXiv 2605.05365). The
score is the mean correctness of the last population; one answer is its majority.

Special points of the same design: T = 0 is parallel sampling, tau = beta is full RSA, C = 1 lets
every slot continue from its own tail (the Delethink-like baseline).

Reading order: `rsa` (the loop), `tails` (what survives a round), `prompts` (how the next round
sees it), `vote` (one answer from many).
"""

from openzaya.ttc.prompts import aggregation_messages, fixed_phrases
from openzaya.ttc.rsa import Candidate, Cost, RSAResult, derived_seed, markovian_rsa
from openzaya.ttc.tails import tail_ids
from openzaya.ttc.vote import affordable, majority

__all__ = [
    "Candidate",
    "Cost",
    "RSAResult",
    "affordable",
    "aggregation_messages",
    "derived_seed",
    "fixed_phrases",
    "majority",
    "markovian_rsa",
    "tail_ids",
]
