"""`python -m harmonium`: the command line."""

from harmonium.cli import main

main()
