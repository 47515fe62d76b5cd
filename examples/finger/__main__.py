"""``python -m examples.finger``."""

import sys

from examples.finger.cli import main

if __name__ == "__main__":
    sys.exit(main())
