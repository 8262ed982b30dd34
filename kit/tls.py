"""mTLS between the platform's own processes: TLS 1.3, the internal CA, one SPIFFE id per part."""

import ssl
from collections.abc import Mapping
from typing import Any

from kit.settings import PartSettings


def server_context(settings: PartSettings) -> ssl.SSLContext:
    """Return a context that demands a certificate of the internal CA from every peer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.num_tickets = 0
    context.load_verify_locations(settings.tls_ca_file)
    context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    return context


def client_context(settings: PartSettings) -> ssl.SSLContext:
    """Return a context that presents our certificate and trusts the internal CA only.

    Host names are not checked: the caller compares `peer_part` with the part it wanted, which
    holds for any address the part may have.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(settings.tls_ca_file)
    context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
    return context


def peer_part(certificate: Mapping[str, Any] | None, trust_domain: str) -> str | None:
    """Return the part that a verified peer certificate names, or None.

    Args:
        certificate: what `SSLObject.getpeercert()` returns for a verified peer.
        trust_domain: ours; certificates of other trust domains name nobody.
    """
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    prefix = f"spiffe://{trust_domain}/"
    if len(uris) != 1 or not uris[0].startswith(prefix):
        return None
    part = uris[0].removeprefix(prefix)
    return part if part and "/" not in part else None
