"""Unified social credit codes (GB 32100-2015) with both of their check characters."""

from typing import Final

_CHARACTERS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_ORGANISATION: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)


def credit_code(kind: str, area: str, organisation: str) -> str:
    """Return the code of an organisation.

    Args:
        kind: registering department and type, two characters; `91` is an enterprise.
        area: six digits of GB/T 2260.
        organisation: eight characters of the organisation code, without its check character.
    """
    body = kind + area + organisation + _organisation_check(organisation)
    return body + _check(body)


def is_credit_code(text: str) -> bool:
    """Tell whether a text is a code whose check characters are right."""
    return (
        len(text) == 18
        and set(text) <= set(_CHARACTERS)
        and set(text[2:8]) <= set("0123456789")
        and text[16] == _organisation_check(text[8:16])
        and text[17] == _check(text[:17])
    )


def _check(body: str) -> str:
    total = sum(_CHARACTERS.index(each) * pow(3, at, 31) for at, each in enumerate(body))
    return _CHARACTERS[-total % 31]


def _organisation_check(organisation: str) -> str:
    """Return the check character of an organisation code (GB 11714-1997)."""
    total = sum(
        _ORGANISATION.index(each) * weight
        for each, weight in zip(organisation, _ORGANISATION_WEIGHTS, strict=True)
    )
    rest = 11 - total % 11
    return "X" if rest == 10 else "0" if rest == 11 else str(rest)
