"""`python -m detector.models`."""

from detector.models import main

main()
