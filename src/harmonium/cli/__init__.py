"""Layer 7: the command line."""

__all__ = ["main"]


def main() -> None:
    """Run the `harmonium` command."""
    from harmonium.cli.app import run

    run()
