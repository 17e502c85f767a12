"""What is seen of a stream while it runs: terminal, page, window and video."""
