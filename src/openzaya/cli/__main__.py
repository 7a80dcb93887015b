"""`python -m openzaya.cli` is `zaya`, for environments whose bin folder is not on the path."""

from openzaya.cli.app import main

main()
