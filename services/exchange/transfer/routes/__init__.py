"""HTTP: read, check, call one action, answer."""

from fastapi import APIRouter

from services.exchange.transfer.routes import (
    batches,
    deliveries,
    queries,
    reconciliations,
    subscriptions,
)
from services.exchange.transfer.routes.asking import Waiting

__all__ = ["Waiting", "router"]

router = APIRouter()
router.include_router(queries.router)
router.include_router(batches.router)
router.include_router(subscriptions.router)
router.include_router(deliveries.router)
router.include_router(reconciliations.router)
