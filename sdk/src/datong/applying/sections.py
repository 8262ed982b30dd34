"""The sections of a file and their members: the bodies of the API, and who takes each step.

Members that the API has too have its names; `by` and what ends in `_by` name identities.
"""

from __future__ import annotations

from datong.applying.shapes import Flag, Instant, Many, Members, Pairs, Shape, Text, Whole

LEVELS = ("nation", "province", "city", "county")
ROLES = (
    "registrar",
    "reviewer",
    "sharing_office_head",
    "resource_administrator",
    "technical_officer",
    "security_officer",
    "agency_head",
    "competent_officer",
    "platform_operator",
    "auditor",
)
FORMATS = ("database", "spreadsheet", "document", "image", "media", "self_described", "other")
FREQUENCIES = ("real_time", "daily", "weekly", "monthly", "quarterly", "yearly", "irregular")
CLASSES = ("unconditional", "conditional", "not_shared")
BASES = ("law", "administrative_regulation", "state_council_decision")
GRADES = ("core", "important", "general")
TYPES = ("text", "integer", "decimal", "boolean", "date", "datetime")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
MODES = ("query", "batch", "call")
MASKS = ("name", "id_number", "mobile", "year", "pseudonym")

_LINE = Text(limit=200)
_LONG = Text()
_ID = Text("an id such as civil-affairs", r"[a-z0-9][a-z0-9-]{1,62}[a-z0-9]")
_IDENTITY = Text("the name of an identity folder", r"[a-z0-9][a-z0-9._-]{0,62}")
_ITEM = Text("the name of an item", r"[a-z][a-z0-9_]{0,62}")
_OPERATION = Text("the name of an operation", r"[a-z][a-z0-9-]{1,61}[a-z0-9]")
_PURPOSE = Text("a purpose code", limit=256)
_VALUE = Text("a value", limit=400)

_FILTER = Members(
    {
        "all": Many(
            Members(
                {"item": _ITEM, "in": Many(_VALUE, 1), "from": _VALUE, "until": _VALUE}, {"item"}
            ),
            1,
        )
    },
    {"all"},
)
_MASKS = Pairs(_ITEM, Text("a mask", choices=MASKS))
_LAW = Members({"title": _LINE, "article": _LINE}, {"title", "article"})

AGENCIES = Members(
    {
        "id": _ID,
        "name": _LINE,
        "level": Text(choices=LEVELS),
        "area_code": Text("an area code of six digits", r"[0-9]{6}"),
        "line": _LINE,
        "competent": _ID,
        "audits": Flag(),
        "security_officer": Members({"name": _LINE, "identity": _IDENTITY}, {"name", "identity"}),
        "by": _IDENTITY,
    },
    ("id", "name", "level", "area_code", "security_officer", "by"),
)
PEOPLE = Members(
    {
        "identity": _IDENTITY,
        "agency": _ID,
        "name": _LINE,
        "roles": Many(Text(choices=ROLES)),
        "by": _IDENTITY,
    },
    ("identity", "agency", "name"),
)
SYSTEMS = Members(
    {"identity": _IDENTITY, "agency": _ID, "name": _LINE, "by": _IDENTITY},
    ("identity", "agency", "name"),
)
ITEM = Members(
    {
        "name": _ITEM,
        "title": _LINE,
        "type": Text(choices=TYPES),
        "required": Flag(),
        "key": Flag(),
        "filterable": Flag(),
        "max_length": Whole(),
        "pattern": _LINE,
        "codes": Many(_LINE, 1),
        "minimum": _LINE,
        "maximum": _LINE,
    },
    ("name", "title", "type"),
)
SERVICE = Members(
    {
        "address": _LONG,
        "ca": Text("a PEM certificate", limit=32768),
        "operations": Many(
            Members(
                {
                    "name": _OPERATION,
                    "title": _LINE,
                    "method": Text(choices=METHODS),
                    "path": _LONG,
                },
                ("name", "title", "method", "path"),
            ),
            1,
        ),
        "seconds": Whole(),
    },
    ("address", "operations", "seconds"),
)
ENTRIES = Members(
    {
        "resource": _ID,
        "name": _LINE,
        "summary": _LONG,
        "items": Many(ITEM),
        "data_format": Text(choices=FORMATS),
        "update_frequency": Text(choices=FREQUENCIES),
        "share_class": Text(choices=CLASSES),
        "legal_basis": Members(
            {"kind": Text(choices=BASES), "title": _LINE, "article": _LINE},
            ("kind", "title", "article"),
        ),
        "share_conditions": _LONG,
        "modes": Many(Text(choices=MODES)),
        "use_conditions": _LONG,
        "data_grade": Text(choices=GRADES),
        "line": _LINE,
        "area": _LINE,
        "service": SERVICE,
        "by": _IDENTITY,
        "approved_by": _IDENTITY,
    },
    (
        "resource",
        "name",
        "summary",
        "data_format",
        "update_frequency",
        "share_class",
        "modes",
        "use_conditions",
        "data_grade",
        "by",
        "approved_by",
    ),
)
ANSWER = Members(
    {
        "items": Many(_ITEM, 1),
        "operations": Many(_OPERATION, 1),
        "purposes": Many(_PURPOSE, 1),
        "row_filter": _FILTER,
        "masks": _MASKS,
        "valid_until": Instant(),
        "reason": _LONG,
    }
)
REQUESTS = Members(
    {
        "resource": _ID,
        "systems": Many(_IDENTITY, 1),
        "items": Many(_ITEM),
        "modes": Many(Text(choices=MODES), 1),
        "operations": Many(_OPERATION),
        "purposes": Many(_PURPOSE, 1),
        "row_filter": _FILTER,
        "masks": _MASKS,
        "basis": _LONG,
        "scenario": _LONG,
        "valid_from": Instant(),
        "valid_until": Instant(),
        "statutory": _LAW,
        "by": _IDENTITY,
        "submitted_by": _IDENTITY,
        "answered_by": _IDENTITY,
        "answer": ANSWER,
        "confirmed_by": _IDENTITY,
    },
    (
        "resource",
        "systems",
        "modes",
        "purposes",
        "basis",
        "scenario",
        "valid_from",
        "valid_until",
        "by",
    ),
)

SECTIONS: dict[str, Shape] = {
    "agencies": AGENCIES,
    "people": PEOPLE,
    "systems": SYSTEMS,
    "entries": ENTRIES,
    "requests": REQUESTS,
}
"""In the order in which they are made."""
