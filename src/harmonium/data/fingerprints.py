"""What tells one table from another."""

import hashlib

import numpy as np

from harmonium.data.table import Table

LENGTH = 16


def fingerprint(table: Table) -> str:
    """A digest of the names and coded values of a table, 16 hexadecimal digits."""
    digest = hashlib.sha256("\n".join(table.names).encode())
    digest.update(repr(table.values.shape).encode())
    digest.update(np.ascontiguousarray(table.values, "<f8").tobytes())
    return digest.hexdigest()[:LENGTH]
