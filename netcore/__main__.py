"""``python -m netcore`` is the ``netcore`` command."""

import sys

from netcore.application.runner import main

if __name__ == "__main__":
    sys.exit(main())
