"""What a user types: `zaya VERB`. `app` has the list of verbs; one file per group of them."""

from openzaya.cli.app import app, main

__all__ = ["app", "main"]
