"""Runnable measurements: `python -m benchmarks.NAME` prints a table and stores it as JSON."""
