from .. import __name__ as name

LETTER = "l" if name == "words" else "?"
REST = "a"
