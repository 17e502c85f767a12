"""Counting over HTTP: jobs on disk, workers in processes of their own, and what is served of them."""
