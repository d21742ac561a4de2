"""Which column of a file goes where: guessed from the header, changed by a person.

A mapping is a list with a target for each column, in order: a field's name (FIELDS),
"attribute:<name>", or "" for a column that is ignored.
"""

import re

FIELDS = {
    "external_id": "External id",
    "name": "Name",
    "first_name": "First name",
    "last_name": "Last name",
    "email": "E-mail",
    "phone": "Phone",
    "tags": "Tags",
}
ATTRIBUTE = "attribute:"
IGNORE = ""
MAX_ATTRIBUTE_NAME = 100

# Header words as other programs write them, letters and digits only.
SYNONYMS = {
    "external_id": "externalid id contactid customerid customernumber customerno memberid userid "
    "crmid recordid kundnummer kundnr kundid kundennummer kundennr customernr reference ref",
    "name": "name fullname contact contactname displayname customername namn nom nombre",
    "first_name": "firstname givenname forename fornamn vorname prenom",
    "last_name": "lastname surname familyname efternamn nachname nomdefamille",
    "email": "email emailaddress mail epost emailid mailaddress correo courriel",
    "phone": "phone phonenumber telephone tel mobile mobilephone mobilenumber cell cellphone "
    "telefon telefonnummer mobil mobiltelefon handy telefono msisdn",
    "tags": "tags tag labels",
}
BY_WORD = {word: field for field, words in SYNONYMS.items() for word in words.split()}


class MappingError(ValueError):
    """The mapping cannot be used; the message says why."""


def guess_target(header: str) -> str:
    """A field, or an attribute named after the header; nothing for an empty header."""
    header = header.strip()
    if header.lower().startswith(ATTRIBUTE):
        return ATTRIBUTE + header[len(ATTRIBUTE) :].strip()[:MAX_ATTRIBUTE_NAME]
    if not header:
        return IGNORE
    word = re.sub(r"[\W_]+", "", header.lower())
    return BY_WORD.get(word) or ATTRIBUTE + header[:MAX_ATTRIBUTE_NAME]


def guess(header: list[str]) -> list[str]:
    """Each field is guessed once; a second column of the same name becomes an attribute."""
    taken: set[str] = set()
    mapping = []
    for name in header:
        target = guess_target(name)
        if target in taken:
            target = free_attribute(name or "column", taken)
        if target:
            taken.add(target)
        mapping.append(target)
    return mapping


def free_attribute(name: str, taken: set[str]) -> str:
    """`attribute:<name>`, numbered when another column has it."""
    target = ATTRIBUTE + name[:MAX_ATTRIBUTE_NAME]
    if target not in taken:
        return target
    number = 2
    while f"{target} {number}" in taken:
        number += 1
    return f"{target} {number}"


def check(mapping: list[str], header: list[str]) -> None:
    """Raise MappingError unless the mapping fits the header and can identify a contact."""
    if len(mapping) != len(header):
        raise MappingError(
            f"The file has {len(header)} columns, the mapping {len(mapping)}. Map it again."
        )
    seen: dict[str, int] = {}
    for number, target in enumerate(mapping):
        if not target:
            continue
        if target not in FIELDS and not target.startswith(ATTRIBUTE):
            raise MappingError(f"“{target}” is not a field. Use {', '.join(FIELDS)} or attribute:…")
        if target == ATTRIBUTE:
            raise MappingError(f"Name the attribute of {column_name(header, number)}.")
        if target in seen:
            raise MappingError(
                f"{column_name(header, seen[target])} and {column_name(header, number)} "
                f"both go to {label(target)}. Choose one."
            )
        seen[target] = number
    if not {"external_id", "email", "phone"} & set(seen):
        raise MappingError(
            "No column goes to external id, e-mail or phone, so contacts cannot be told apart. "
            "Choose the column that holds one of them."
        )


def label(target: str) -> str:
    if target.startswith(ATTRIBUTE):
        return f"attribute “{target[len(ATTRIBUTE) :]}”"
    return FIELDS.get(target, "nothing")


def column_name(header: list[str], number: int) -> str:
    name = header[number] if number < len(header) else ""
    return f"“{name}” (column {number + 1})" if name else f"Column {number + 1}"


def from_text(text: str, header: list[str]) -> list[str]:
    """The guess, changed by `Header=target, …` as the command line gives it.

    A target is a field, `attribute`, `attribute:<name>` or `ignore`. MappingError if unknown.
    """
    mapping = guess(header)
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, target = (part.strip() for part in pair.rpartition("="))
        if not equals:
            raise MappingError(f"“{pair}” should be Header=target, e.g. Kundnr=external_id.")
        if name not in header:
            raise MappingError(f"The file has no column “{name}”. It has: {', '.join(header)}.")
        number = header.index(name)
        if target in {"ignore", ""}:
            mapping[number] = IGNORE
        elif target == "attribute":
            mapping[number] = ATTRIBUTE + name[:MAX_ATTRIBUTE_NAME]
        else:
            for other, taken in enumerate(mapping):
                if taken == target and other != number:  # it was only a guess
                    mapping[other] = free_attribute(header[other], set(mapping))
            mapping[number] = target
    check(mapping, header)
    return mapping
