"""Words: what a user writes and reads."""
