"""What names, reasons and area codes may look like."""

import re
from typing import Final

LINE: Final = r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
"""One line of text: no control characters, no white space at its ends."""

NATION: Final = "000000"
"""Area code of agencies of the nation, for which GB/T 2260 has none."""

AREA_CODE: Final = r"^[0-9]{6}$"

_PROVINCES: Final = frozenset(
    {"11", "12", "13", "14", "15", "21", "22", "23", "31", "32", "33", "34", "35", "36", "37"}
    | {"41", "42", "43", "44", "45", "46", "50", "51", "52", "53", "54"}
    | {"61", "62", "63", "64", "65", "71", "81", "82"}
)
_SIX_DIGITS: Final = re.compile(r"[0-9]{6}")


def is_division_code(code: str) -> bool:
    """Tell whether `code` has the shape of GB/T 2260; whether it is in force is not asked.

    Six ASCII digits, a province that exists, no county without a prefecture.
    """
    if _SIX_DIGITS.fullmatch(code) is None or code[:2] not in _PROVINCES:
        return False
    return code[2:4] != "00" or code[4:] == "00"


def is_area_code(level: str, code: str) -> bool:
    """Tell whether an agency of `level` may have `code`: the nation's is `000000`."""
    return is_division_code(code) or (level == "nation" and code == NATION)
