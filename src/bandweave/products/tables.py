"""Read the vendors' text metadata: `KEY = value` lines in groups (Maxar, USGS), and XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bandweave.errors import ProductError

_LINE = re.compile(r"^\s*(\w+)\s*=\s*(.*?)\s*;?\s*$")
_GROUP_STARTS = ("BEGIN_GROUP", "GROUP", "BEGIN_OBJECT", "OBJECT")
_GROUP_ENDS = ("END_GROUP", "END_OBJECT")


def read_groups(path: Path) -> list[tuple[str, str, str]]:
    """Return every (group, key, value) of a file of `KEY = value` lines, in its order.

    The group is the innermost one, `""` outside of any. Quotes around values are taken off; lists
    over several lines are left out, since nothing here needs them.

    Raises:
        ProductError: The file cannot be read, or holds no such line.
    """
    groups: list[str] = []
    entries = []
    for line in _text(path).splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        key, value = match[1], match[2].strip().strip('"')
        if key.upper() in _GROUP_STARTS:
            groups.append(value)
        elif key.upper() in _GROUP_ENDS:
            groups = groups[:-1]
        else:
            entries.append((groups[-1] if groups else "", key, value))
    if not entries:
        raise ProductError(
            f"{path.name} should hold lines of the form KEY = value, but has none: it is empty or "
            "damaged; fetch it again."
        )
    return entries


def read_xml(path: Path) -> ET.Element:
    """Return the root of an XML file.

    Raises:
        ProductError: The file cannot be read or is no XML.
    """
    try:
        return ET.fromstring(_text(path))  # noqa: S314  # expat limits entity expansion
    except (ET.ParseError, ValueError) as error:
        raise ProductError(
            f"{path.name} should be XML, but cannot be parsed ({error}); fetch it again."
        ) from error


def elements(root: ET.Element, name: str) -> Iterator[ET.Element]:
    """Yield all elements of a name, whatever their namespace."""
    return (element for element in root.iter() if element.tag.rsplit("}", 1)[-1] == name)


def text_of(root: ET.Element, name: str) -> str | None:
    """Return the text of the first element of a name, or None where there is none."""
    for element in elements(root, name):
        if element.text and element.text.strip():
            return element.text.strip()
    return None


def utc(text: str | None) -> datetime | None:
    """Read an ISO time, with or without fractions and zone; None for anything else."""
    if text is None:
        return None
    match = re.match(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?", text.strip())
    if match is None:
        return None
    fraction = (match[3] or ".0")[:7]
    return datetime.fromisoformat(f"{match[1]}T{match[2]}{fraction.ljust(7, '0')}").replace(
        tzinfo=UTC
    )


def _text(path: Path) -> str:
    try:
        # Latin-1 reads any byte; what is looked for is ASCII, and XML declares its own.
        raw = path.read_bytes()
    except OSError as error:
        raise ProductError(f"{path} could not be read: {error.strerror}.") from error
    return raw.decode("utf-8", errors="replace").lstrip("\ufeff").lstrip()
