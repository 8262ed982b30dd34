"""How every Kafka client of a part is opened.

`kit.states` reads permissions, `kit.follow` hands events to handlers, `kit.feed` reads from kept
positions, `kit.pages` writes many records at once, `kit.relay` publishes outboxes.
"""

import ssl
from typing import Any

from kit.settings import PartSettings


def client_options(settings: PartSettings) -> dict[str, Any]:
    """Return what every Kafka client of a part is opened with: servers and, if set, TLS."""
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka.split(",")}
    if settings.kafka_tls_ca_file is not None:
        context = ssl.create_default_context(cafile=str(settings.kafka_tls_ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
        options |= {"security_protocol": "SSL", "ssl_context": context}
    return options
