"""`python -m radii`: the same as the command `radii`."""

from radii.cli import main

main()
