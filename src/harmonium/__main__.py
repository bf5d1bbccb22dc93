"""`python -m harmonium`: the command line."""

from harmonium.cli import main

# Workers of `serve` import this module again.
if __name__ == "__main__":
    main()
