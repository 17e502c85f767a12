"""Journal, tables, interchange formats and pictures of results."""
