"""Methods that papers describe for finding, counting and classifying blood cells, measured beside the detector."""
