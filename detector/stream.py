"""Count the cells of a smear under a microscope camera or in a video, each once."""
