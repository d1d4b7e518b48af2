"""The command `netlab`: which verb is which module, and how a verb ends.

A verb is a module `netlab.cli.NAME` with one function `command`, typed for typer; its docstring is the
verb's help, and its parameters are arguments and options:

    def command(node: Annotated[str, typer.Argument(help="…")], json: bool = False) -> None:
        \"\"\"Say what the verb does.\"\"\"

It prints results to stdout (`typer.echo`) and progress to stderr, returns None when done, and raises
`typer.Exit(1)` where the thing asked for failed, or a `NetlabError`, which becomes text and an exit code
in `netlab.cli.errors`. A module may set `CONTEXT_SETTINGS` (a dict) to change how click parses, as `exec`
needs. A verb with verbs of its own, as `link`, has no `command` but `COMMANDS`, a dict from name to
function, and its module's docstring is the help. Whatever is heavy (model, lab, pyroute2, rich) it
imports inside the function or because only this verb's module is imported: `netlab --help` imports none
of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from netlab.cli.errors import guarded

if TYPE_CHECKING:
    import typer

# verb ─► (module, summary), in the order of `netlab --help`.
VERBS: dict[str, tuple[str, str]] = {
    "validate": ("validate", "Check a topology file and show every problem."),
    "plan": ("plan", "Show the kernel operations that a topology becomes."),
    "graph": ("graph", "Draw a topology as Graphviz or Mermaid text."),
    "up": ("up", "Bring a lab up."),
    "down": ("down", "Take a lab down."),
    "ps": ("ps", "Show labs, their nodes and roles."),
    "exec": ("exec_", "Run a command in a node."),
    "shell": ("shell", "Open a shell in a node."),
    "role": ("role", "Show and change settings of running roles."),
    "link": ("link", "Show and change links of a running lab."),
    "fault": ("fault", "Break parts of a running lab, for a while."),
    "capture": ("capture", "Capture what crosses interfaces of a running lab."),
    "logs": ("logs", "Show what roles wrote."),
    "trace": ("trace", "Run a scenario and follow its request at every hop."),
    "follow": ("follow", "Follow one request of a run, hop by hop."),
    "flows": ("flows", "List the connections of a run."),
    "where-lost": ("where_lost", "Say which link ate which packets of a run."),
    "open": ("open_", "Open a run in Wireshark."),
    "report": ("report", "Show a run again, without root and without its lab."),
    "decode": ("decode", "Show what the packets of a capture file say, layer by layer."),
    "doctor": ("doctor", "Say what this machine offers, and what is missing."),
    "gc": ("gc", "Remove what labs that died left behind."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1, 2, 3, 70 or 130 (docs/architecture.md)."""
    arguments = list(sys.argv[1:] if argv is None else argv)

    def run() -> None:
        build(_verb_of(arguments))(args=arguments, prog_name="netlab")

    return guarded(run)


def build(verb: str = "") -> typer.Typer:
    """The typer application, in which only `verb` has its real body; the others are there to be listed."""
    import typer

    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root_with_options())
    for name, (module, summary) in VERBS.items():
        if name == verb:
            _add(app, name, module, summary)
        else:
            app.command(name, short_help=summary)(_listed_only)
    return app


def _add(app: typer.Typer, name: str, module: str, summary: str) -> None:
    found = import_module(f"netlab.cli.{module}")
    if hasattr(found, "COMMANDS"):
        app.add_typer(_group(found), name=name, short_help=summary)
        return
    body: Callable[..., object] = found.command
    settings = {"help_option_names": ["-h", "--help"], **getattr(found, "CONTEXT_SETTINGS", {})}
    app.command(name, short_help=summary, context_settings=settings)(body)


def _group(module: ModuleType) -> typer.Typer:
    import typer

    settings = {"help_option_names": ["-h", "--help"]}
    group = typer.Typer(
        help=module.__doc__, rich_markup_mode=None, no_args_is_help=True, context_settings=settings
    )
    for name, body in module.COMMANDS.items():
        group.command(name, context_settings=settings)(body)
    return group


def _verb_of(arguments: Sequence[str]) -> str:
    """The first argument that is no option: options before the verb (--version, --help) have no values."""
    return next((argument for argument in arguments if not argument.startswith("-")), "")


def _listed_only() -> None:
    raise AssertionError("main() builds the application with the verb that the arguments name")


def _root_with_options() -> Callable[..., None]:
    import typer

    version = typer.Option(
        False, "--version", is_eager=True, callback=_show_version, help="Show the version."
    )

    def root(version: bool = version) -> None:
        """The network guide you can run, on real sockets in real namespaces."""

    return root


def _show_version(asked: bool) -> None:
    if asked:
        import typer

        from netlab import __version__

        typer.echo(f"netlab {__version__}")
        raise typer.Exit
