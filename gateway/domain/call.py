"""A call as the edge hands it to `decide`: normalised, verified, without the body."""

from dataclasses import dataclass, field
from typing import Literal

Access = Literal["public", "certificate", "caller"]
Data = Literal["query", "batch", "call", "publish"]
TokenProblem = Literal["token-missing", "token-invalid"]


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a verified access token that a decision needs.

    Args:
        sub: `system/<id>` or `person/<id>`.
        exp: expiry, epoch seconds; 60 s of skew are granted when it is checked.
        x5t: `cnf["x5t#S256"]`, the thumbprint of the certificate that it is bound to.
    """

    sub: str
    jti: str
    exp: float
    x5t: str


@dataclass(slots=True)  # not frozen: one is made per call, and freezing costs 2 µs each
class Call:
    """One call; nobody changes it.

    Args:
        route: operationId.
        access: what the route asks of the connection.
        part: the part that answers.
        data: the mode of a governed data call: `query`, `batch` and `call` need a grant that
            covers it, `publish` ownership. None on the control plane.
        resource: plain id from the path of a data route.
        purpose: value of Datong-Purpose.
        case: value of Datong-Case; recorded, never decided upon, so calls that differ in nothing
            else are equal.
        grant: grant id from Datong-Grant, without a version.
        operation: operation of an owner's service, empty when none fits; None for hosted data.
        thumbprint: x5t#S256 of the connection's verified certificate.
        claims: of the verified token; None with `token_problem` saying why.
        token_detail: one sentence about a token that was refused.
        items: the items asked for or answered, where the gateway knows them.
    """

    route: str
    access: Access
    part: str
    data: Data | None = None
    resource: str | None = None
    purpose: str | None = None
    case: str | None = field(default=None, compare=False)
    grant: str | None = None
    operation: str | None = None
    thumbprint: str | None = None
    claims: Claims | None = None
    token_problem: TokenProblem | None = None
    token_detail: str | None = None
    items: tuple[str, ...] | None = None
