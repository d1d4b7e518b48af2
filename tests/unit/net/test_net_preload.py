"""What roles import late they must have imported before they give up their rights."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import netlab
from netlab.net.preload import _MODULES

_ROOT = Path(netlab.__file__).parent


def late_imports(path: Path) -> Iterator[str]:
    """Modules of netlab's own that are imported inside of functions."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("netlab."):
                    yield node.module or ""


def test_every_late_import_of_a_role_is_preloaded() -> None:
    found = {
        (path.relative_to(_ROOT).as_posix(), module)
        for room in ("net", "policy", "proto", "pki", "model")
        for path in (_ROOT / room).rglob("*.py")
        for module in late_imports(path)
    }
    missing = sorted((path, module) for path, module in found if module not in _MODULES)
    assert missing == [], missing
