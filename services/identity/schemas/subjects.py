"""Bodies about agencies, people and systems."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints, ValidationInfo, field_validator

from kit.clock import rfc3339
from services.identity.domain.codes import NewCode
from services.identity.domain.names import AREA_CODE, is_area_code
from services.identity.domain.subjects import Agency, Level, Person, Role, Standing, System
from services.identity.schemas.parts import Body, Instant, IssuedCode, Name, PlainId

# Strictness would refuse the text of an enumeration.
LevelText = Annotated[Level, Field(strict=False)]
RoleText = Annotated[Role, Field(strict=False)]
RoleList = Annotated[list[RoleText], Field(max_length=len(Role))]


class FirstOfficer(Body):
    """The security officer with whom an agency begins."""

    name: Name


class NewAgency(Body):
    """An agency to be registered, with its first security officer."""

    id: PlainId
    name: Name
    level: LevelText
    area_code: Annotated[
        str,
        StringConstraints(pattern=AREA_CODE),
        Field(description="GB/T 2260; `000000` for the nation"),
    ]
    line: Annotated[Name | None, Field(description="Line of business (条)")] = None
    competent: Annotated[
        PlainId | None, Field(description="Competent department; may be the agency itself")
    ] = None
    audits: Annotated[bool, Field(description="Whether its people may be auditors")] = False
    security_officer: FirstOfficer

    @field_validator("area_code")
    @classmethod
    def _is_area_code(cls, value: str, info: ValidationInfo) -> str:
        if not is_area_code(str(info.data.get("level", "")), value):
            raise ValueError("not an area code of GB/T 2260")
        return value

    def to_agency(self) -> Agency:
        """Return the agency without its officer."""
        return Agency(
            self.id,
            self.name,
            self.level,
            self.area_code,
            self.line,
            self.competent,
            self.audits,
        )


class NewPerson(Body):
    """A person to be registered at the caller's agency."""

    name: Name
    roles: RoleList = Field(default_factory=list)
    agency: Annotated[PlainId | None, Field(description="The caller's own, when given")] = None


class NewSystem(Body):
    """A system to be registered at the caller's agency."""

    name: Name
    agency: Annotated[PlainId | None, Field(description="The caller's own, when given")] = None


class RolesBody(Body):
    """All roles that a person shall hold."""

    roles: RoleList


class AgencyBody(BaseModel):
    """An agency."""

    id: str
    name: str
    level: Level
    area_code: str
    line: str | None
    competent: str | None
    audits: bool
    state: Standing
    version: int

    @classmethod
    def of(cls, agency: Agency) -> "AgencyBody":
        """Return the body for `agency`."""
        return cls(
            id=agency.id,
            name=agency.name,
            level=agency.level,
            area_code=agency.area_code,
            line=agency.line,
            competent=agency.competent,
            audits=agency.audits,
            state=agency.state,
            version=agency.version,
        )


class PersonBody(BaseModel):
    """A person."""

    id: str
    agency: str
    name: str
    roles: list[Role]
    state: Standing
    version: int

    @classmethod
    def of(cls, person: Person) -> "PersonBody":
        """Return the body for `person`."""
        return cls(
            id=person.id,
            agency=person.agency,
            name=person.name,
            roles=sorted(person.roles),
            state=person.state,
            version=person.version,
        )


class SystemBody(BaseModel):
    """A system."""

    id: str
    agency: str
    name: str
    state: Standing
    version: int

    @classmethod
    def of(cls, system: System) -> "SystemBody":
        """Return the body for `system`."""
        return cls(
            id=system.id,
            agency=system.agency,
            name=system.name,
            state=system.state,
            version=system.version,
        )


class PersonWithCode(PersonBody, IssuedCode):
    """A person who was just registered, and the code to enrol with."""

    @classmethod
    def with_code(cls, person: Person, code: NewCode) -> "PersonWithCode":
        """Return the body for `person` and its code."""
        known = PersonBody.of(person).model_dump()
        return cls(**known, code=code.text, code_expires_at=rfc3339(code.kept.expires_at))


class SystemWithCode(SystemBody, IssuedCode):
    """A system that was just registered, and the code to enrol with."""

    @classmethod
    def with_code(cls, system: System, code: NewCode) -> "SystemWithCode":
        """Return the body for `system` and its code."""
        known = SystemBody.of(system).model_dump()
        return cls(**known, code=code.text, code_expires_at=rfc3339(code.kept.expires_at))


class AgencyWithOfficer(AgencyBody):
    """An agency that was just registered, and its first security officer with a code."""

    security_officer: PersonWithCode


class Me(BaseModel):
    """Who the platform takes the caller for."""

    kind: str
    id: str
    name: str
    agency: str
    agency_name: str
    roles: list[str]
    thumbprint: str
    not_after: Instant
