"""Conversations to training examples: trimming, encoding, packing."""
