"""Optimizers: Muon for matrices, AdamW for the rest, and the router's load balancing."""
