"""Evaluation: run tasks with a sampler and say how sure the numbers are."""
