"""Commands of operators and security officers: agencies, people, systems, certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datong.cli.options import Session, read_document

Agency = Annotated[str | None, typer.Option(help="Of this agency.")]
Limit = Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")]
Cursor = Annotated[str | None, typer.Option(help="Go on after this page.")]
Reason = Annotated[str, typer.Option(help="Why; goes on record.")]
Id = Annotated[str, typer.Argument(help="Id.")]


def agencies() -> typer.Typer:
    """`datong agency …`."""
    group = typer.Typer(help="Agencies (platform operators).", no_args_is_help=True)
    group.command("list", epilog="Example: datong agency list --as operator")(_list_agencies)
    group.command("create", epilog="Example: datong agency create agency.yaml")(_create_agency)
    group.command("suspend", epilog="Example: datong agency suspend health --reason 安全事件调查")(
        _suspend_agency
    )
    group.command("resume", epilog="Example: datong agency resume health --reason 调查结束")(
        _resume_agency
    )
    return group


def people() -> typer.Typer:
    """`datong person …`."""
    group = typer.Typer(help="People and their roles (security officers).", no_args_is_help=True)
    group.command("list", epilog="Example: datong person list --agency health")(_list_people)
    group.command(
        "create",
        epilog="Example: datong person create --agency health --name 周洁 --role auditor",
    )(_create_person)
    group.command("roles", epilog="Example: datong person roles PERSON --version 1 --role auditor")(
        _set_roles
    )
    group.command("suspend", epilog="Example: datong person suspend PERSON --reason 离岗")(
        _suspend_person
    )
    group.command("resume", epilog="Example: datong person resume PERSON --reason 返岗")(
        _resume_person
    )
    group.command("code", epilog="Example: datong person code PERSON")(_person_code)
    return group


def systems() -> typer.Typer:
    """`datong system …`."""
    group = typer.Typer(help="Systems (security officers).", no_args_is_help=True)
    group.command("list", epilog="Example: datong system list --as security")(_list_systems)
    group.command(
        "create", epilog="Example: datong system create --agency health --name 传染病直报系统"
    )(_create_system)
    group.command("suspend", epilog="Example: datong system suspend SYSTEM --reason 系统升级")(
        _suspend_system
    )
    group.command("resume", epilog="Example: datong system resume SYSTEM --reason 升级完成")(
        _resume_system
    )
    group.command("code", epilog="Example: datong system code SYSTEM")(_system_code)
    return group


def credentials() -> typer.Typer:
    """`datong credentials …`."""
    group = typer.Typer(help="Certificates (security officers).", no_args_is_help=True)
    group.command("list", epilog="Example: datong credentials list --holder PERSON")(
        _list_credentials
    )
    group.command(
        "revoke", epilog="Example: datong credentials revoke THUMBPRINT --reason 私钥泄露"
    )(_revoke)
    return group


def _list_agencies(context: typer.Context, limit: Limit = None, cursor: Cursor = None) -> None:
    """List agencies."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_agencies(limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _create_agency(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON or YAML: id, name, level, …")],
) -> None:
    """Create an agency; the answer holds its security officer's one-time code."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.create_agency(read_document(file)))


def _suspend_agency(context: typer.Context, agency: Id, reason: Reason) -> None:
    """Suspend an agency."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.suspend_agency(agency, reason))


def _resume_agency(context: typer.Context, agency: Id, reason: Reason) -> None:
    """Resume a suspended agency."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.resume_agency(agency, reason))


def _list_people(
    context: typer.Context, agency: Agency = None, limit: Limit = None, cursor: Cursor = None
) -> None:
    """List people."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_people(agency=agency, limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _create_person(
    context: typer.Context,
    agency: Annotated[str, typer.Option(help="Agency of the person.")],
    name: Annotated[str, typer.Option(help="Name.")],
    role: Annotated[list[str] | None, typer.Option(help="Role; repeatable.")] = None,
) -> None:
    """Register a person; the answer holds a one-time code."""
    session: Session = context.obj
    with session.client() as client:
        person = {"agency": agency, "name": name, "roles": role or []}
        session.output.object(client.create_person(person))


def _set_roles(
    context: typer.Context,
    person: Id,
    version: Annotated[int, typer.Option(help="`version` of the person as you read it.")],
    role: Annotated[list[str] | None, typer.Option(help="Role; repeatable.")] = None,
) -> None:
    """Replace a person's roles."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.set_roles(person, role or [], version=version))


def _suspend_person(context: typer.Context, person: Id, reason: Reason) -> None:
    """Suspend a person."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.suspend_person(person, reason))


def _resume_person(context: typer.Context, person: Id, reason: Reason) -> None:
    """Resume a suspended person."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.resume_person(person, reason))


def _person_code(context: typer.Context, person: Id) -> None:
    """Issue another one-time code to a person."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.issue_person_code(person))


def _list_systems(context: typer.Context, limit: Limit = None, cursor: Cursor = None) -> None:
    """List the systems of one's agency."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_systems(limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _create_system(
    context: typer.Context,
    agency: Annotated[str, typer.Option(help="Agency of the system.")],
    name: Annotated[str, typer.Option(help="Name.")],
) -> None:
    """Register a system; the answer holds a one-time code."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.create_system({"agency": agency, "name": name}))


def _suspend_system(context: typer.Context, system: Id, reason: Reason) -> None:
    """Suspend a system."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.suspend_system(system, reason))


def _resume_system(context: typer.Context, system: Id, reason: Reason) -> None:
    """Resume a suspended system."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.resume_system(system, reason))


def _system_code(context: typer.Context, system: Id) -> None:
    """Issue another one-time code to a system."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.issue_system_code(system))


def _list_credentials(
    context: typer.Context,
    agency: Agency = None,
    holder: Annotated[str | None, typer.Option(help="Of this person or system.")] = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> None:
    """List certificates."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_credentials(agency=agency, holder=holder, limit=limit, cursor=cursor)
    session.output.items(page.items, following=page.next)


def _revoke(context: typer.Context, thumbprint: Id, reason: Reason) -> None:
    """Revoke a certificate for good, and all certificates that were renewed from it."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.revoke_credential(thumbprint, reason))
