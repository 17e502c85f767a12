"""From a camera or video to one count of the smear: each cell once."""
