"""A service of an owner: where it may be, whom it trusts, and that no call fits two operations."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from kit.addresses import is_public, may_be_public, parse_https
from kit.errors import DomainError
from services.catalog import domain, events
from services.catalog.domain import Content, Method, Mode, Operation, Service, ShareClass
from services.catalog.store.entries import _content
from tests.support.certificates import self_signed
from tests.unit.catalog.test_domain import LAW, NOON, REGISTRAR, REVIEWER, a_content, an_item
from tests.unit.catalog.test_events import validator, wire

CA = self_signed("Market regulator CA")
READ = Operation("read-enterprise", "By code", Method.GET, "/enterprises/{code}")
FIND = Operation("find-enterprises", "By name", Method.GET, "/enterprises")


def a_service(**changed: Any) -> Service:
    service = Service("https://register.market.gov.example:8443", CA, (READ, FIND), 5)
    return replace(service, **changed)


def a_call(service: Service | None = None, **changed: Any) -> Content:
    whole = {"items": (), "modes": (Mode.CALL,), "service": service or a_service()}
    return a_content(**whole | changed)


def at(*paths: str, method: Method = Method.GET) -> tuple[Operation, ...]:
    return tuple(Operation(f"do-{n}", "x", method, path) for n, path in enumerate(paths))


@pytest.mark.parametrize(
    "content",
    [
        a_call(),
        a_call(items=(an_item(key=False, required=False),)),
        a_call(a_service(ca=None, seconds=60)),
        a_call(a_service(ca=CA + CA)),
        a_call(share_class=ShareClass.NOT_SHARED, legal_basis=LAW),
        a_call(a_service(address="https://[2400:3200::1]:443")),
        a_call(a_service(operations=at("/a/{b}", "/a/{b}/c", "/b/{b}", "/A/~._-"))),
        a_call(
            a_service(operations=(READ, replace(READ, name="put-it", method=Method.PUT))),
        ),
        a_call(a_service(operations=at(*(f"/a/{n}" for n in range(100))))),
    ],
)
def test_a_call_is_valid_when(content: Content) -> None:
    domain.require_valid(content)


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        (a_content(service=a_service()), "/modes"),
        (a_content(modes=(Mode.CALL,)), "/service"),
        (a_call(modes=(Mode.CALL, Mode.QUERY)), "/modes"),
        (a_call(modes=(), share_class=ShareClass.NOT_SHARED, legal_basis=LAW), "/modes"),
        (a_call(items=(an_item(), an_item())), "/items/1/name"),
        (a_call(a_service(seconds=0)), "/service/seconds"),
        (a_call(a_service(seconds=61)), "/service/seconds"),
        (a_call(a_service(ca="")), "/service/ca"),
        (a_call(a_service(ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
         "/service/ca"),
        (a_call(a_service(ca=CA + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")),
         "/service/ca"),
        (a_call(a_service(ca=CA * 100)), "/service/ca"),
        (a_call(a_service(operations=())), "/service/operations"),
        (a_call(a_service(operations=at(*(f"/a/{n}" for n in range(101))))),
         "/service/operations"),
        (a_call(a_service(operations=(READ, READ))), "/service/operations/1/name"),
        (a_call(a_service(operations=at("/a/{b}", "/a/b"))), "/service/operations/1/path"),
        (a_call(a_service(operations=at("/a/{b}", "/x", "/{a}/b"))), "/service/operations/2/path"),
        (a_call(a_service(operations=at("/a/{b}", "/a/{c}"))), "/service/operations/1/path"),
        *[
            (a_call(a_service(operations=at(path))), "/service/operations/0/path")
            for path in (
                "a", "/", "//a", "/a/", "/a//b", "/a/..", "/./a", "/a%2fb", "/a?b", "/a b", "/ä",
                "/{a}b", "/{A}", "/{}", "/{a}/{a}", "/a\n", "/" + "a" * 200, "/a" * 21,
            )
        ],
        *[
            (a_call(a_service(address=address)), "/service/address")
            for address in (
                "", "http://a.example:80", "https://a.example", "https://a.example:0",
                "https://a.example:70000", "https://a.example:443/", "https://a.example:443?b",
                "https://u@a.example:443", "https://u:p@a.example:443", "https://A.example:443",
                "https://a_b.example:443", "https://2130706433:443", "https://127.1:443",
                "https://0x7f.1:443", "https://[::1:443", "https://a.example:443\n",
                "https://a..example:443", "https://[fe80::1%eth0]:443",
            )
        ],
    ],
)  # fmt: skip
def test_a_call_is_refused_when(content: Content, pointer: str) -> None:
    with pytest.raises(DomainError) as refused:
        domain.require_valid(content)

    assert (refused.value.code, refused.value.pointer) == ("entry-invalid", pointer)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.255.0.9", "10.0.0.8", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.100.100.200", "192.0.0.192", "168.63.129.16", "0.0.0.0", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:10.0.0.8", "::127.0.0.1", "fe80::1", "fec0::1",
        "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "2002:7f00:1::", "localhost", "a.localhost",
        "register", "localhost.localdomain", "printer.local", "metadata.google.internal",
        "64:ff9b:1::a00:1", "::ffff:0:7f00:1", "2001::1", "2001:db8::1", "3fff::1", "::8.8.8.8",
        "198.18.0.1", "192.88.99.1", "100.64.0.1",
    ],
)  # fmt: skip
def test_an_address_inside_is_refused(host: str) -> None:
    address = f"https://{f'[{host}]' if ':' in host else host}:8443"

    with pytest.raises(DomainError) as refused:
        domain.require_public(a_service(address=address))

    assert (refused.value.code, refused.value.pointer) == ("entry-invalid", "/service/address")


@pytest.mark.parametrize("host", ["8.8.8.8", "59.192.0.1", "2400:3200::1", "::ffff:8.8.8.8"])
def test_an_address_outside_is_not(host: str) -> None:
    assert is_public(host)
    domain.require_public(a_service(address=f"https://{f'[{host}]' if ':' in host else host}:1"))


def test_a_name_is_let_pass_and_what_has_no_form_is_left_to_the_other_check() -> None:
    assert may_be_public(parse_https("https://register.market.gov.example:8443")[0])
    domain.require_public(None)
    domain.require_public(a_service(address="https://localhost"))


def test_a_state_names_the_service_as_critical_and_fits_its_schema() -> None:
    draft = domain.create("019ab8e0-1c00-7a10-8f00-0a1b2c3d4e6a", "register", a_call(), REGISTRAR,
                          NOON)  # fmt: skip
    entry = domain.approve(domain.submit(draft, REGISTRAR, NOON), REVIEWER, NOON)

    state = events.state(entry)

    assert state is not None
    validator("catalog.entry.v1").validate(wire(state))
    assert state.data["critical"] == ["share_class", "state", "items", "service"]
    assert state.data["service"] == {
        "address": "https://register.market.gov.example:8443",
        "ca": CA,
        "operations": [
            {"name": "read-enterprise", "title": "By code", "method": "GET",
             "path": "/enterprises/{code}"},
            {"name": "find-enterprises", "title": "By name", "method": "GET",
             "path": "/enterprises"},
        ],
        "seconds": 5,
    }  # fmt: skip
    fact = events.fact(events.PUBLISHED, entry, entry.versions[-1], REVIEWER)
    assert fact.data["operations"] == ["read-enterprise", "find-enterprises"]


def test_content_kept_before_there_were_services_is_read() -> None:
    kept = asdict(a_content())
    del kept["service"]

    assert _content(kept) == a_content()
    assert _content(asdict(a_call())) == a_call()
