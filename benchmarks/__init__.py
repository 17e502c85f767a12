"""Measurements that tests are too short for: run from the root of the repository as `python -m benchmarks.NAME`."""
