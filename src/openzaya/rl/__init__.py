"""Reinforcement learning with verifiable rewards.

Shape suffixes used in this package:

    P  prompts of a batch     G  rollouts of one prompt     R  rollouts (P * G, or fewer)
    N  generated tokens of all rollouts, end to end         T  generated tokens of one rollout
"""
