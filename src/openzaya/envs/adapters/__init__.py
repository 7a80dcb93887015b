"""Environments of other projects, from a checkout that the user has. Nothing of theirs is here."""
