"""`python -m detector.review`."""

from detector.review.command import main

main()
