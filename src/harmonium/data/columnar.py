"""What reads files whose columns have types of their own, by the kind of the file."""

from harmonium.data.arrows import arrow_tables
from harmonium.data.parquets import parquet_tables

# Each gives a table without rows first, then the rows.
COLUMNAR = {"parquet": parquet_tables, "arrow": arrow_tables}
