"""Text of others as a person may see it."""


def printable(text: str) -> str:
    """A text in one line without what a terminal could obey: each such character is a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
