"""Benchmarks: one script per claim; `python -m benchmarks.run` makes the report page."""
