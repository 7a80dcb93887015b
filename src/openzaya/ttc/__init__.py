"""Markovian RSA: recursive self-aggregation where only bounded tails pass between rounds.

Round 0 draws N independent rollouts of at most beta tokens. In each of T further rounds, N
prompts each show C tails (the last tau tokens) of the round before, drawn without replacement,
and the model writes again. No verifier, no ranking; a prompt never exceeds the problem plus
C * tau tokens, however long the population has been thinking (report arXiv 2605.05365).

Special points of the same design: T = 0 is parallel sampling, tau = beta is full RSA, C = 1 lets
every slot continue from its own tail (the Delethink-like baseline).
"""
