"""netlab: the network guide you can run, on real sockets in real namespaces."""

__version__ = "0.1.0"
