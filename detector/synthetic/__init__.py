"""A renderer of stained smear fields with exact truth."""
