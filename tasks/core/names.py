"""Names that people give to sources and classes: what they may be, and which look alike."""

import unicodedata
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

_MAX_CHARACTERS = 100
# Controls, what is not seen (marks of direction, joiners), halves of characters, ends of lines.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _source_name(name: str) -> str:
    if not name or len(name) > _MAX_CHARACTERS:
        raise ValueError(f"a name has 1 to {_MAX_CHARACTERS} characters, this has {len(name)}")
    if name in (".", "..") or "/" in name or "\\" in name:
        raise ValueError("it begins the path of each image; expected a name without slash or '..'")
    unseen = sorted({f"U+{ord(one):04X}" for one in name if unicodedata.category(one) in _UNSEEN})
    if unseen:
        raise ValueError(f"holds {', '.join(unseen)}, which nobody sees; expected plain characters")
    return _composed(name)


def _label(name: str) -> str:
    if any(character < " " for character in name):
        raise ValueError("a label holds no control characters")
    return _composed(name)


def _composed(name: str) -> str:
    clean = unicodedata.normalize("NFC", name).strip()
    if not clean or clean != name:
        raise ValueError(
            f"expected {clean!r}, in Unicode's composed form and without space around it"
            if clean
            else "expected a name, this is empty"
        )
    return name


SourceName = Annotated[str, AfterValidator(_source_name)]
# As ingest writes labels: any other text would never meet one.
Label = Annotated[str, AfterValidator(_label)]


def find_lookalikes(names: Iterable[str]) -> tuple[str, str] | None:
    """Two of the names that differ in case, space or Unicode form alone; None if none do."""
    known: dict[str, str] = {}
    for name in sorted(names):
        twin = known.setdefault(_looks(name), name)
        if twin != name:
            return twin, name
    return None


def _looks(name: str) -> str:
    """What two names have in common that a reader takes for one."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Cf: characters that are not seen, such as a space of no width.
    seen = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return " ".join(seen.split())
