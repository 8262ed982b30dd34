"""Run audit: `python -m services.audit api | write | migrate | rebuild`."""

import sys

from services.audit.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
