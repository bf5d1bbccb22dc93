"""The command that tells whether the library works on this machine: doctor."""

from typing import TYPE_CHECKING

import typer

from harmonium.cli.later import Later
from harmonium.cli.options import JsonOption
from harmonium.cli.output import print_json
from harmonium.cli.shell import command

if TYPE_CHECKING:
    from harmonium.cli import checkup
else:
    checkup = Later("harmonium.cli.checkup")


@command
def doctor(as_json: JsonOption = False) -> None:
    """Check this installation in a few seconds: versions, devices, and whether it computes right.

    A small model is compared with its own enumeration; the exit code is 1 if a check fails.

    Example: harmonium doctor
    """
    machine, checks = checkup.describe_machine(), checkup.run_checks()
    passed = all(check.passed for check in checks)
    if as_json:
        print_json({**machine, "checks": checkup.to_plain(checks), "passed": passed})
    else:
        _print_machine(machine)
        for check in checks:
            print(f"{'PASS' if check.passed else 'FAIL'}  {check.name}: {check.detail}")
    raise typer.Exit(0 if passed else 1)


def _print_machine(machine: dict) -> None:
    print(f"python {machine['python']} on {machine['machine']}")
    print(", ".join(f"{name} {found or 'missing'}" for name, found in machine["versions"].items()))
    print(f"devices: {', '.join(machine['devices'])}; numbers of {machine['float_bits']} bits")
    extras = machine["extras"].items()
    print(
        ", ".join(f"{name} {'installed' if there else 'not installed'}" for name, there in extras)
    )
