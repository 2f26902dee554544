"""Frozen dataclasses to JSON values and back, checked field by field against their type hints."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from typing import Any, ClassVar, Self, TypeVar, Union

from vmseg_auto.utils.errors import InputError
from vmseg_auto.utils.labels import Labels

T = TypeVar("T")
_TOO_LARGE = 2**63
NEWER = "A newer version of vmseg_auto wrote it: install that version or a later one. Nothing has to be made anew."


class Stored:
    """A frozen dataclass that goes to JSON and comes back; OLDER tells what to do with an earlier version's."""

    OLDER: ClassVar[str] = "Use the version that wrote it, or plan and train in a new workspace (-w)."

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_json(cls, data: Any, where: str = "") -> Self:
        """Build one from JSON values.

        Args:
            data: what json.loads gave.
            where: the name of `data` for messages, such as "plan.json"; the class's unless given.

        Raises:
            InputError: a field is missing, unknown, of the wrong type or impossible.
        """
        where = where or cls.__name__
        value = decode(cls, data, where)
        value.check(where)
        return value

    def check(self, where: str) -> None:
        """Raise InputError where fields are impossible together; `where` names the value."""


def encode(value: Any) -> Any:
    """Turn dataclasses, tuples and dicts into plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Labels):
        return value.to_json()
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def decode(kind: type[T], data: Any, where: str) -> T:
    """Build `kind` from JSON values.

    Args:
        kind: a dataclass or a plain type.
        data: what json.loads gave.
        where: the name of `data` for messages, such as "plan.json".

    Raises:
        InputError: a field is missing, unknown or of the wrong type; the message names it.
    """
    try:
        return typing.cast(T, _decode(kind, data, where))
    except InputError as error:
        error.remedy = error.remedy or "Mend this value, or restore the file."
        raise


def digest(value: Any) -> str:
    """Return a short stable hash (16 hex digits of SHA-256) of a JSON-like value or dataclass.

    >>> digest({"lr": 0.01, "epochs": 5}) == digest({"epochs": 5, "lr": 0.01})
    True
    """
    text = json.dumps(encode(value), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def parse_setting(kind: Any, text: str, where: str) -> Any:
    """Read the text of a `field=value` setting as a value of type `kind`.

    >>> parse_setting(tuple[int, ...], "[1, 2]", "folds")
    (1, 2)
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        data = {"True": True, "False": False, "None": None}.get(text, text)
    if isinstance(data, (int, float)) and not isinstance(data, bool) and kind is str:
        data = text
    return _decode(kind, data, where)


def _decode(kind: Any, data: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return data
    if kind is Labels:
        return _decode_labels(data, where)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type, kind), data, where)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in args:
            return None
        (inner,) = [arg for arg in args if arg is not type(None)]
        return _decode(inner, data, where)
    if origin is typing.Literal:
        if data not in args:
            raise InputError(f"{where} is {data!r}", remedy=f"It must be one of: {', '.join(map(str, args))}.")
        return data
    if origin is tuple:
        return _decode_tuple(args, data, where)
    if origin is dict:
        if not isinstance(data, dict):
            raise _wrong(where, "an object", data)
        return {_decode_key(args[0], k, where): _decode(args[1], v, f"{where}.{k}") for k, v in data.items()}
    return _decode_scalar(kind, data, where)


def _decode_key(kind: Any, key: str, where: str) -> Any:
    if kind is not int:
        return key
    try:
        return int(key)
    except ValueError:
        raise _wrong(f"{where}.{key}", "a whole number as key", key) from None


def _decode_dataclass(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    _check_schema(kind, data, where)
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := sorted(set(data) - set(fields)):
        raise InputError(f"{where} has an unknown field: {', '.join(unknown)}", remedy="Remove or rename it.")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _decode(hints[name], data[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(f"{where} lacks the field {name}", remedy="Put it back, or make the file anew.")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error.problem}", remedy=error.remedy) from None


@dataclasses.dataclass(frozen=True)
class _Region:
    """A label that holds several values, and the one that is written."""

    value: int
    holds: tuple[int, ...]


def _decode_labels(data: Any, where: str) -> Labels:
    """Build labels of what `Labels.to_json` gave: a label's value, or a region."""
    if not isinstance(data, dict):
        raise _wrong(where, "an object", data)
    found = {
        name: _decode(_Region if isinstance(one, dict) else int, one, f"{where}.{name}") for name, one in data.items()
    }
    regions = {name: one for name, one in found.items() if isinstance(one, _Region)}
    values = {name: regions[name].value if name in regions else one for name, one in found.items()}
    return Labels(values, {name: one.holds for name, one in regions.items()})


def _check_schema(kind: type, data: dict[str, Any], where: str) -> None:
    """Refuse what another version of this program wrote, before its fields are found strange.

    The default of a class's field `schema` is the one that this version writes and reads.
    """
    schema = getattr(kind, "schema", None)
    if schema is not None and data.get("schema", schema) != schema:
        raise InputError(
            f"{where} has schema {data['schema']}, and this version of vmseg_auto reads {schema}",
            remedy=NEWER if is_newer(data["schema"], schema) else getattr(kind, "OLDER", Stored.OLDER),
        )


def is_newer(schema: object, known: int) -> bool:
    """Return whether a file was written by a newer version of this program, which reads schema `known`."""
    return isinstance(schema, int) and not isinstance(schema, bool) and schema > known


def _decode_tuple(args: tuple[Any, ...], data: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise _wrong(where, "a list", data)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_decode(args[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if len(data) != len(args):
        raise _wrong(where, f"a list of {len(args)} values", data)
    return tuple(_decode(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, data, strict=True)))


def _decode_scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        try:
            number = float(data)
        except OverflowError:  # a whole number of hundreds of digits
            number = math.inf
        if not math.isfinite(number):
            raise _wrong(where, "a finite number", data)
        return number
    if kind is int and isinstance(data, float) and data.is_integer():
        data = int(data)
    if kind is int and isinstance(data, int) and not isinstance(data, bool):
        if abs(data) >= _TOO_LARGE:
            raise _wrong(where, "a number that fits into 64 bits", data)
        return data
    if isinstance(data, kind) and kind is not int:
        return data
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    raise _wrong(where, names.get(kind, kind.__name__), data)


def _wrong(where: str, expected: str, data: Any) -> InputError:
    shown = repr(data) if not isinstance(data, int) or abs(data) < _TOO_LARGE else "one of many digits"
    return InputError(f"{where} must be {expected}, not {shown if len(shown) < 80 else shown[:77] + '...'}")
