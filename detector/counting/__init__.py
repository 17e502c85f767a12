"""Field counts, counting frame, smear totals and their intervals."""
