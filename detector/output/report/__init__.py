"""The report of a count: one page for people, with everything that it shows inside it."""
