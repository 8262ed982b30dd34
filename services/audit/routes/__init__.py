"""HTTP of audit: checkpoints and tiles, search, proofs, gaps, packages. Nothing changes here."""

from fastapi import APIRouter

from services.audit.routes import log, packages, records

router = APIRouter(prefix="/audit/v1")
for part in (log.router, records.router, packages.router):
    router.include_router(part)
