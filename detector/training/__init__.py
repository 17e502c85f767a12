"""Fit, augmentation, fast CPU steps and export: the only wing that imports torch and ultralytics."""
