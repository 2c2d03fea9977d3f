"""``python -m xresdiff`` is the command ``xresdiff``."""

import sys

from xresdiff.cli import main

if __name__ == "__main__":
    sys.exit(main())
