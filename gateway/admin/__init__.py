"""What operators and explanations need of a worker, beside the data path."""

from gateway.admin.explanations import Explainer
from gateway.admin.metrics import DataPathNumbers, GatewayCollector

__all__ = ["DataPathNumbers", "Explainer", "GatewayCollector"]
