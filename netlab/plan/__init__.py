"""Topology ─► Plan: every decision about the kernel, without touching it."""

from netlab.plan.build import plan
from netlab.plan.ops import Plan

__all__ = ["Plan", "plan"]
