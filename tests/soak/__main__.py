"""The soak from the command line."""

import sys

if __name__ == "__main__":
    # imported here alone: processes of `forked` import this module as well, and need nothing of the rest
    from soak.campaign import main

    sys.exit(main())
