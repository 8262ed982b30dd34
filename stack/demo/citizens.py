"""People who do not exist: numbers of the right shape and check digit, names put together by rule.

The first six digits of a citizen's number (GB 11643) name a division. No province has the code 99,
so nobody was ever given one of these numbers.
"""

from datetime import date
from typing import Final

NUMBER_PATTERN: Final = "[1-9][0-9]{16}[0-9X]"

_NOWHERE: Final = "990101"
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS: Final = "10X98765432"
_SURNAMES: Final = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许"
_GIVEN: Final = "安平宁和清远明德文礼仁义信达思齐"
_MODULUS: Final = 11


def citizen_number(born: date, order: int) -> str:
    """Return the number of a person of nowhere, with its check digit (GB 11643, ISO 7064).

    Args:
        order: 0 to 999, distinguishes those born on one day.

    Raises:
        ValueError: another order.
    """
    if not 0 <= order <= 999:
        raise ValueError(f"no order of a day: {order}")
    first = f"{_NOWHERE}{born:%Y%m%d}{order:03d}"
    return first + check_digit(first)


def check_digit(first: str) -> str:
    """Return the last character that the first 17 digits of a number ask for."""
    total = sum(int(digit) * weight for digit, weight in zip(first, _WEIGHTS, strict=True))
    return _CHECKS[total % _MODULUS]


def citizen_name(order: int) -> str:
    """Return a name of two or three characters, the same for the same order."""
    surname = _SURNAMES[order % len(_SURNAMES)]
    first = _GIVEN[order // 3 % len(_GIVEN)]
    second = _GIVEN[order // 7 % len(_GIVEN)] if order % 4 else ""
    return surname + first + second


def shown_name(name: str) -> str:
    """Return what the mask `name` leaves of a name, as `contracts/rows.md` says."""
    return name[0] + "*" * (len(name) - 1)


def shown_number(number: str) -> str:
    """Return what the mask `id_number` leaves of a citizen's number."""
    return number[:6] + "*" * 10 + number[-2:]
