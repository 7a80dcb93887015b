"""OpenZAYA: the open, independent implementation of the whole ZAYA1-8B system."""

__version__ = "0.1.0"
