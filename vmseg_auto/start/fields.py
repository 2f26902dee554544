"""What a step asks for, and what of an answer is taken: nothing that the page did not offer, and no path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.names import is_text

YES = "yes"
"""The value of a field that is ticked."""
_MOST = 500
_FORMS = {
    "number": (re.compile(r"(\d{1,6}(\.\d{1,4})?)?"), "a number such as 2 or 0.5"),
    "whole": (re.compile(r"([1-9]\d{0,5})?"), "a whole number above 0"),
    "name": (re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}"), "a name of letters, digits, _ and -, without blanks"),
    "text": (re.compile(r"((\*|[^\W_-])[^\x00-\x1f]*)?"), "a text that begins with a letter, a digit or *"),
    "tick": (re.compile(f"(?:{YES})?"), "ticked or not"),
}


@dataclass(frozen=True)
class Field:
    """One question of a step.

    Args:
        name: of the answer.
        label: what the page shows.
        kind: "choice" of options, "number", "whole" (number), "name" of a new folder, "text", or "tick".
        value: the answer unless another is given.
        help: a sentence more.
        options: value and words of each that can be chosen.
        further: whether most will leave it as it is, so that the page shows it when asked.
    """

    name: str
    label: str
    kind: Literal["choice", "number", "whole", "name", "text", "tick"]
    value: str = ""
    help: str = ""
    options: tuple[tuple[str, str], ...] = ()
    further: bool = False

    def checked(self, answer: object) -> str:
        """Return an answer that can be used.

        Raises:
            InputError: it is none of the options, or not of the kind that is asked for.
        """
        if not isinstance(answer, str) or len(answer) > _MOST or not is_text(answer):
            raise InputError(f"{self.label}: this is no answer", remedy="Load the page again.")
        answer = answer.strip() if self.kind != "choice" else answer
        if self.kind == "choice":
            if answer not in {value for value, _ in self.options}:
                problem = f"{self.label}: this is not on the list" if self.options else f"{self.label}: there is none"
                raise InputError(problem, remedy="Look again, and choose one that the page offers.")
            return answer
        form, words = _FORMS[self.kind]
        if not form.fullmatch(answer):
            raise InputError(f"{self.label}: {answer!r} can't be used", remedy=f"Write {words}.")
        return answer


def checked(fields: Sequence[Field], given: Mapping[str, object]) -> dict[str, str]:
    """Return the answer to each field, its usual value where none is given.

    Raises:
        InputError: an answer can't be used, or is to no question.
    """
    if unknown := sorted(set(given) - {field.name for field in fields}):
        raise InputError(f"nothing called {unknown[0][:_MOST]!r} is asked for", remedy="Load the page again.")
    return {field.name: field.checked(given.get(field.name, field.value)) for field in fields}
