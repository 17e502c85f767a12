"""What an evaluation leaves: figures for programs, a table of fields, plots, and one page for people."""
