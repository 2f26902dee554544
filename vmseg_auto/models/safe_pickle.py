"""What a file of torch.save says it holds, compared with what is there before any of it is made."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from math import prod
from typing import Any, ClassVar
from zipfile import ZIP_STORED, BadZipFile, ZipFile

MOST_PICKLE_BYTES = 32 * 2**20
"""What describes the tensors; even that of a training of 50,000 epochs is smaller."""
_ITEM_BYTES = {
    "Double": 8, "Long": 8, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1,
}  # fmt: skip
_STORAGES = {f"torch.{kind}Storage": size for kind, size in _ITEM_BYTES.items()}
_TENSOR = "torch._utils._rebuild_tensor_v2"
_ENCODE = "_codecs.encode"
_PLAIN = {"collections.OrderedDict", _ENCODE, "torch.device", "torch.Size", _TENSOR, *_STORAGES}
_MOST_ENCODED, _MOST_VALUES = 1 << 10, 10**6
_OTHER_GLOBALS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
"""Ways to name code that torch.save never takes."""


class ClaimError(ValueError):
    """The file says something that can't be; the message is the reason."""


def foreign_names(pickled: bytes, stand_ins: Collection[str]) -> list[str]:
    """Return the names of code in a pickle that are neither of plain tensors nor of stand-ins, sorted; nothing is run.

    Raises:
        ClaimError: names are hidden in a way that torch.save never takes.
        ValueError: it is no pickle.

    Example:
        >>> foreign_names(pickle.dumps(OrderedDict(), protocol=2), [])
        []
        >>> foreign_names(pickle.dumps(ZipFile, protocol=2), [])
        ['zipfile.ZipFile']
    """
    found = set()
    for code, argument, _ in pickletools.genops(pickled):
        if code.name in _OTHER_GLOBALS:
            raise ClaimError(f"its pickle has {code.name}")
        if code.name == "GLOBAL":
            found.add(str(argument).replace(" ", "."))
    return sorted(found - _PLAIN - set(stand_ins))


def pickled_part(archive: ZipFile) -> tuple[str, bytes]:
    """Return the folder of all entries, and the bytes of its data.pkl, once the zip itself is found whole and plain.

    Raises:
        ClaimError: an entry is compressed (it could grow beyond all memory), lies elsewhere, stands there twice or on
            another's bytes, or the pickle is larger than any description of tensors.
        BadZipFile: some byte that matters has changed. Other errors of the zip reader mean the same.
    """
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    folder = next((name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")), None)
    if folder is None or folder.count("/") != 1:
        raise ClaimError("it is no file of torch.save")
    for entry in entries:
        # torch.load gives unset memory for an entry marked a folder.
        if entry.external_attr & 0x10 or entry.compress_type != ZIP_STORED:
            raise ClaimError(f"{entry.filename!r} is compressed or a folder")
        if not entry.filename.startswith(folder) or ".." in entry.filename:
            raise ClaimError(f"{entry.filename!r} lies outside of {folder}")
    if len(set(names)) < len(names):
        raise ClaimError("it holds two entries of one name")
    archive.fp.seek(0, io.SEEK_END)  # type: ignore[union-attr]
    if sum(entry.file_size for entry in entries) > archive.fp.tell():  # type: ignore[union-attr]
        raise ClaimError("its entries claim more bytes than the file has")
    if archive.getinfo(f"{folder}data.pkl").file_size > MOST_PICKLE_BYTES:
        raise ClaimError(f"its data.pkl is larger than {MOST_PICKLE_BYTES >> 20} MB")
    if damaged := archive.testzip():  # torch.load compares no checksum
        raise BadZipFile(f"{damaged} is damaged")
    return folder, archive.read(f"{folder}data.pkl")


def check_sizes(pickled: bytes, records: Mapping[str, int]) -> None:
    """Refuse tensors that are larger than their bytes in the file.

    Args:
        pickled: data.pkl, without foreign names.
        records: key -> bytes of each storage in the file.

    Raises:
        ClaimError: a storage is missing or of another size, a tensor reaches beyond its storage or repeats it, or what
            refers to one another would be more than any file of ours holds.
        Exception: the pickle is damaged; any kind that pickle raises.
    """
    if _counted(_Claims(io.BytesIO(pickled), records).load(), {}) > _MOST_VALUES:
        raise ClaimError(f"lists that refer to one another would make more than {_MOST_VALUES:,} values")


def _counted(value: Any, known: dict[int, int]) -> int:
    """Count the values that a walk through lists and dicts would meet; each of them is visited once.

    Args:
        known: number of values by id; that of one that is being visited has no end.
    """
    if not isinstance(value, (dict, list, tuple, set, frozenset)):
        return 1
    if id(value) not in known:
        known[id(value)] = _MOST_VALUES + 1
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_counted(one, known) for one in inner)
    return known[id(value)]


class Anything:
    """In place of what is only called and filled."""

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _keyed_by_text(code: bytes, keys: slice) -> tuple[int, Callable[[Any], None]]:
    """Return an opcode of pickle, and how it is carried out: only where the keys that it stores are texts or numbers.

    To hash nested tuples that refer to one another takes for ever.

    Args:
        keys: where they lie on the reader's stack.
    """
    load = pickle._Unpickler.dispatch[code[0]]

    def checked(reader: Any) -> None:
        if not all(isinstance(key, (str, int, float, type(None))) for key in reader.stack[keys]):
            raise ClaimError("a key in it is neither text nor number")
        load(reader)

    return code[0], checked


class _Claims(pickle._Unpickler):
    """Goes through a pickle as the loader will, with numbers in place of storages and nothing in place of tensors.

    The one written in Python: that in C reserves memory for as many values as a damaged pickle names.
    """

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        **dict(
            (
                _keyed_by_text(pickle.SETITEM, slice(-2, -1)),
                _keyed_by_text(pickle.SETITEMS, slice(0, None, 2)),
                _keyed_by_text(pickle.DICT, slice(0, None, 2)),
                _keyed_by_text(pickle.ADDITEMS, slice(None)),
                _keyed_by_text(pickle.FROZENSET, slice(None)),
            )
        ),
    }

    def __init__(self, pickled: io.BytesIO, records: Mapping[str, int]) -> None:
        super().__init__(pickled)
        self._records = records

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "collections.OrderedDict":
            return _ordered
        if full == _ENCODE:
            return _encoded
        return _STORAGES.get(full) or (_tensor if full == _TENSOR else Anything)

    def persistent_load(self, pid: Any) -> int:
        """Return the number of values of a storage."""
        _, item_bytes, key, _, count = pid
        if not isinstance(count, int) or self._records.get(key, -1) != count * item_bytes:
            raise ClaimError(f"the numbers {key!r} are missing or of another size than it says")
        return count


def _ordered(*items: Any) -> OrderedDict[Any, Any]:
    """Make an empty dict: torch.save makes none in another way, and fills it later."""
    if items:
        raise ClaimError("a dict in it is made in a way that torch.save never takes")
    return OrderedDict()


def _encoded(text: Any, encoding: Any = None) -> Anything:
    """Check bytes, which are stored as texts to be encoded: numbers have few, and other codecs could multiply them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1") or len(text) > _MOST_ENCODED:
        raise ClaimError(f"it has bytes of another kind than numbers have (encoding {str(encoding)[:20]!r})")
    return Anything()


def _tensor(count: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Anything:
    """Check a view on a storage of `count` values."""
    numbers = (count, offset, *size, *stride)
    if len(size) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ClaimError(f"a tensor has the shape {size!r} and the strides {stride!r}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if prod(size) > count or (prod(size) and last >= count):
        raise ClaimError(f"a tensor of the shape {size!r} is larger than its numbers")
    return Anything()
