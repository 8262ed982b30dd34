"""All SQL of transfer: rows in, domain objects out."""

from services.exchange.transfer.store.news import News, tell
from services.exchange.transfer.store.objects import FolderObjects, ObjectDamaged, Objects
from services.exchange.transfer.store.reading import Dataset, Found, RowReader, TableReplaced
from services.exchange.transfer.store.work import Context, Work

__all__ = [
    "Context",
    "Dataset",
    "FolderObjects",
    "Found",
    "News",
    "ObjectDamaged",
    "Objects",
    "RowReader",
    "TableReplaced",
    "Work",
    "tell",
]
