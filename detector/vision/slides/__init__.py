"""Pictures too large to be read whole: large TIFF files and whole slides, read by windows."""
