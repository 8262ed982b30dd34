"""`python -m datong`: the same as the command `datong`."""

from datong.cli import main

if __name__ == "__main__":
    main()
