"""HTTP: read, check, call one action, answer."""

from fastapi import APIRouter

from services.exchange.transfer.routes import loading, queries
from services.exchange.transfer.routes.asking import Waiting

__all__ = ["Waiting", "router"]

router = APIRouter()
router.include_router(queries.router)
router.include_router(loading.router)
