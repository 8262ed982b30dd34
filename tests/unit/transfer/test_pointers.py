"""Pointers lead a caller to what is wrong."""

from services.exchange.transfer.domain import pointer_of


def test_a_pointer_escapes_what_rfc_6901_says() -> None:
    assert pointer_of(3, "a/b~c") == "/3/a~1b~0c"
    assert pointer_of(3) == "/3"
    assert pointer_of() == ""
