"""Evidence of one worker: durable records first, their way to audit behind them.

`Evidence` numbers records and makes them durable; `Shipper` carries them to `gateway.call.v1`.
Start: `Evidence.start`, then a task of `Shipper.run`. Stop: `Evidence.stop`, `Shipper.stop`,
`Evidence.close`.
"""

from gateway.evidence.record import Salts, leaf_hash, record_bytes, salted
from gateway.evidence.shipper import Shipper
from gateway.evidence.slot import SlotHeld
from gateway.evidence.spool import Evidence, EvidenceUnavailable, SpoolFull

__all__ = [
    "Evidence",
    "EvidenceUnavailable",
    "Salts",
    "Shipper",
    "SlotHeld",
    "SpoolFull",
    "leaf_hash",
    "record_bytes",
    "salted",
]
