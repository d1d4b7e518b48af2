"""Sends a Plan's operations to the kernel; decides nothing."""
