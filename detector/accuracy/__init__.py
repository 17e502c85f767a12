"""Detections against truth, and counts against truth."""
