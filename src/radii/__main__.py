"""`python -m radii`: the same as the command `radii`."""

from radii.cli import main

# processes that a command starts import this file, too
if __name__ == "__main__":
    main()
