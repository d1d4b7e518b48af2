"""Roles: each module serves as one network program, by `async def serve(spec, ctx)`."""

from netlab.roles.run import run

__all__ = ["run"]
