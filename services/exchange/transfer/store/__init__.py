"""All SQL of transfer: rows in, domain objects out."""

from services.exchange.transfer.store.loading import (
    add_indexes,
    copy_line,
    copy_rows,
    create_table,
    repeated_keys,
    replace_rows,
)
from services.exchange.transfer.store.reading import Dataset, Found, RowReader, TableReplaced

__all__ = [
    "Dataset",
    "Found",
    "RowReader",
    "TableReplaced",
    "add_indexes",
    "copy_line",
    "copy_rows",
    "create_table",
    "repeated_keys",
    "replace_rows",
]
