"""Where each view lies on the smear, and whether it is sharp."""
