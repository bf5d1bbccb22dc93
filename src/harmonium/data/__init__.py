"""Tables in, fitted column rules, and invertible transforms to model units."""

from harmonium.data.columns import Columns
from harmonium.data.readers import read_table, write_columns, write_table
from harmonium.data.table import Table, as_table, default_names
from harmonium.data.transforms import Transform

__all__ = [
    "Columns",
    "Table",
    "Transform",
    "as_table",
    "default_names",
    "read_table",
    "write_columns",
    "write_table",
]
