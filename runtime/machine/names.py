"""File names as text that can be written anywhere.

On Linux a name is bytes. Those that are not UTF-8 (a Windows share mounted without a character set) reach Python as
lone surrogates (PEP 383), which no encoding writes and JSON gives no meaning (RFC 8259, section 8.2).
"""

from __future__ import annotations

import re

__all__ = ["meant", "shown", "shown_in_json"]

LONE = re.compile(r"[\ud800-\udfff]")
WRITTEN = re.compile(r"\\x([89a-f][0-9a-f])")


def shown(text: str) -> str:
    """`text` with what is not Unicode written out: the byte 0xFC of a file name as the four characters \\xfc."""
    return LONE.sub(lambda found: _escape(found[0]), text)


def meant(text: str) -> str:
    """The file name that `shown` wrote as `text`, unless the name itself has such characters."""
    return WRITTEN.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)


def shown_in_json(document: str) -> str:
    """The same for the strings inside a JSON text, which stays valid: a backslash is doubled there."""
    return LONE.sub(lambda found: "\\" + _escape(found[0]), document)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
