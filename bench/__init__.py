"""Benchmarks: each prints a table of its figures side by side with a peer's, taken in the same run."""
