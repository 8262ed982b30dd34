"""TLS towards callers: 1.3 only, the client certificate optional, its dates left to `decide`."""

import ssl
from collections.abc import Sequence
from typing import Final

from gateway.settings import GatewaySettings
from kit.logging import get_logger

NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME: an expired certificate gets an answer that says so."""

log = get_logger()


def client_facing_context(settings: GatewaySettings, authorities: Sequence[str]) -> ssl.SSLContext:
    """Return the context for new connections.

    Args:
        authorities: PEM certificates of the CAs whose client certificates are accepted; a
            certificate of any other ends the handshake.

    Raises:
        OSError: a file is missing or not PEM (`ssl.SSLError` is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME
    context.load_cert_chain(settings.server_certificate_file, settings.server_key_file)
    for authority in authorities:
        context.load_verify_locations(cadata=authority)
    return context


class ClientFacingTls:
    """The context in use. A change of the CAs makes another one, for connections after it.

    Connections that are open keep their certificate, which `decide` looks up at every call.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._published: tuple[str, ...] = ()
        self._file_text: str | None = None
        self.context = client_facing_context(settings, ())
        self.look_at_file()

    def take(self, authorities: Sequence[str]) -> None:
        """Take the CA certificates that identity publishes, as PEM; bad ones change nothing."""
        try:
            self._build(tuple(authorities), self._file_text)
        except (OSError, ValueError) as error:
            log.error("departments' CA not used", error=repr(error))
        else:
            self._published = tuple(authorities)

    def look_at_file(self) -> None:
        """Read `client_ca_file` if it is there and has changed; a bad one is logged, not used."""
        path = self._settings.client_ca_file
        if path is None or not path.exists():
            return
        try:
            text = path.read_text(encoding="ascii")
            if text != self._file_text:
                self._build(self._published, text)
                self._file_text = text
        except (OSError, ValueError) as error:
            log.error("client CA file not used", error=repr(error))

    def _build(self, published: tuple[str, ...], file_text: str | None) -> None:
        extra = () if file_text is None else (file_text,)
        self.context = client_facing_context(self._settings, published + extra)
