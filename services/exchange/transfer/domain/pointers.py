"""JSON pointers (RFC 6901) into what a caller sent."""


def pointer_of(*members: str | int) -> str:
    """Return the JSON pointer that leads through `members`."""
    return "".join("/" + str(m).replace("~", "~0").replace("/", "~1") for m in members)
