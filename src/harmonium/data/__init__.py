"""Tables in, fitted column rules, and the maps to and from model units."""

from harmonium.data.columns import Columns
from harmonium.data.dialects import Dialect
from harmonium.data.fields import Field, number_fields
from harmonium.data.fingerprints import fingerprint
from harmonium.data.frames import container_of, decode_columns, to_frame
from harmonium.data.intervals import Bounds, log_interval_mass, spread
from harmonium.data.marginals import Marginals
from harmonium.data.names import default_names
from harmonium.data.own_bodies import ColumnMap
from harmonium.data.pools import LongTable, Pools
from harmonium.data.readers import read_table
from harmonium.data.samples import Sampled, sample_rows
from harmonium.data.sources import TableFile, ending_of, title_of
from harmonium.data.spool import spooled
from harmonium.data.streams import column_names, read_batches, read_cells, read_named_batches
from harmonium.data.table import Table, as_table
from harmonium.data.whitening import Whitening
from harmonium.data.writers import (
    FORMATS,
    STANDARD,
    ArrayWriter,
    TableWriter,
    write_columns,
    write_table,
)

__all__ = [
    "FORMATS",
    "STANDARD",
    "ArrayWriter",
    "Bounds",
    "ColumnMap",
    "Columns",
    "Dialect",
    "Field",
    "LongTable",
    "Marginals",
    "Pools",
    "Sampled",
    "Table",
    "TableFile",
    "TableWriter",
    "Whitening",
    "as_table",
    "column_names",
    "container_of",
    "decode_columns",
    "default_names",
    "ending_of",
    "fingerprint",
    "log_interval_mass",
    "number_fields",
    "read_batches",
    "read_cells",
    "read_named_batches",
    "read_table",
    "sample_rows",
    "spooled",
    "spread",
    "title_of",
    "to_frame",
    "write_columns",
    "write_table",
]
