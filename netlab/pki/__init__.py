"""The lab's own certificates and tokens, made in memory."""

from netlab.pki.authority import Authority
from netlab.pki.tokens import TokenKey

__all__ = ["Authority", "TokenKey"]
