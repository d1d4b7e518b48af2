"""Asking over HTTP: a request to a target, its response, in a version that both speak."""

from __future__ import annotations

from netlab.net.http1_client import fetch

__all__ = ["fetch"]
