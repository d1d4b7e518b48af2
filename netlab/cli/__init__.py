"""The command line: a module per verb, imported when it is asked for."""

from netlab.cli.app import main

__all__ = ["main"]
