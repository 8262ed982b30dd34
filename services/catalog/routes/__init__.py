"""HTTP of the catalogue: read, open the transaction, call one action, answer."""

from fastapi import APIRouter

from services.catalog.routes import entries, search

__all__ = ["router"]

router = APIRouter()
router.include_router(entries.router)
router.include_router(search.router)
