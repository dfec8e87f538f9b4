"""Plain values as bytes and back, and messages over a socket: no pickle, so nothing that comes in can act.

A message is what a student's process says, so the reader trusts nothing in it: dtypes come from a list,
shapes must fit the bytes that are there, and depth, size and number of parts are bounded. What is read is
made of new plain objects; no method of the sender's comes along.
"""

from __future__ import annotations

import json
import math
import socket
import time
from typing import Any

import numpy as np
import torch

from cleanprio_lib.checks.checking import Net, Value

MIB = 1 << 20
DEEPEST = 24  # lists within lists
MOST_PARTS = 200_000  # numbers, words, lists and arrays in one message

ARRAYS = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
}
TENSORS = {
    name: getattr(torch, name)
    for name in (
        "bool",
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
    )
}


class TransportError(ValueError):
    """Bytes that are no message, or a value that cannot be one; says why in words."""


def pack(value: Value) -> bytes:
    """A value as bytes: the length of a JSON text, the text, and the numbers of all arrays in their order.

    Raises:
        TransportError: it holds something other than None, numbers, words, lists, tuples, dicts with words as
            keys, numpy arrays, dense tensors and `Net`s; or too many of them, or too deep.
    """
    numbers: list[bytes] = []
    tree = _Writer(numbers).write(value, 0)
    text = json.dumps(tree, separators=(",", ":")).encode()
    return b"".join([len(text).to_bytes(8, "big"), text, *numbers])


def unpack(message: bytes) -> Value:
    """The value that `pack` made bytes of.

    Raises:
        TransportError: no value has these bytes.
    """
    try:
        end = 8 + int.from_bytes(message[:8], "big")
        if not 8 < end <= len(message):
            raise TransportError("its length is wrong")
        reader = _Reader(memoryview(message)[end:])
        value = reader.read(json.loads(message[8:end]), 0)
    except TransportError:
        raise
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        RecursionError,
        OverflowError,
        RuntimeError,
    ) as error:
        raise TransportError(f"it cannot be read ({type(error).__name__})") from error
    if len(reader.numbers):
        raise TransportError("bytes are left over at its end")
    return value


def send(channel: socket.socket, value: Value, *, seconds: float | None = None) -> None:
    """Send a message, its length in front.

    Raises:
        TransportError: `value` cannot be a message.
        TimeoutError: the other side has not taken it within `seconds`.
        OSError: the other side is gone.
    """
    message = pack(value)
    channel.settimeout(seconds)
    channel.sendall(len(message).to_bytes(8, "big") + message)


def receive(channel: socket.socket, *, limit: int, seconds: float | None = None) -> Value:
    """Receive a message of at most `limit` bytes, all of it within `seconds`.

    Raises:
        TransportError: it is longer, or no message.
        TimeoutError: it has not come in time.
        EOFError: the other side has closed the channel.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    size = int.from_bytes(_exactly(channel, 8, deadline), "big")
    if size > limit:
        raise TransportError(f"it is larger than {limit // MIB} MiB")
    return unpack(_exactly(channel, size, deadline))


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        channel.settimeout(left)
        part = channel.recv(min(size - len(parts), MIB))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


class _Writer:
    """Makes the JSON tree of a value, each node a list that begins with its kind; collects the numbers."""

    def __init__(self, numbers: list[bytes]) -> None:
        self.numbers, self.parts = numbers, 0

    def write(self, value: Any, depth: int) -> list[Any]:
        self.parts += 1
        if depth > DEEPEST or self.parts > MOST_PARTS:
            raise TransportError(f"it has more than {MOST_PARTS:,} parts, or lists more than {DEEPEST} deep")
        below = depth + 1
        match value:
            case None:
                return ["none"]
            case bool():
                return ["bool", value]
            case int():
                # Of the base class, whatever a subclass says it looks like; hexadecimal has no limit of
                # digits.
                return ["int", format(int.__int__(value), "x")]
            case float():
                return ["float", float.hex(value)]
            case str():
                return ["str", str.__str__(value)]
            case torch.Tensor():
                return self._tensor(value)
            case np.ndarray() | np.generic():
                return self._array(np.asarray(value))
            case list() | tuple():
                kind = "list" if isinstance(value, list) else "tuple"
                return [kind, [self.write(item, below) for item in value]]
            case dict() if all(isinstance(key, str) for key in value):
                return ["dict", [[str.__str__(key), self.write(item, below)] for key, item in value.items()]]
            case Net():
                options = self.write(dict(value.options), below)
                return ["net", value.builder, options, value.seed, value.dtype]
        raise TransportError(f"a {type(value).__name__} cannot be sent")

    def _array(self, array: np.ndarray) -> list[Any]:
        if array.dtype.name not in ARRAYS:
            raise TransportError(f"an array of dtype {array.dtype} cannot be sent")
        self.numbers.append(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return ["array", array.dtype.name, list(array.shape)]

    def _tensor(self, tensor: torch.Tensor) -> list[Any]:
        name = str(tensor.dtype).removeprefix("torch.")
        if name not in TENSORS or tensor.layout != torch.strided or tensor.is_meta:
            raise TransportError(f"a tensor of dtype {name} and layout {tensor.layout} cannot be sent")
        flat = tensor.detach().cpu().resolve_conj().contiguous().reshape(-1)
        self.numbers.append(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return ["tensor", name, list(tensor.shape)]


class _Reader:
    """Makes the value of a JSON tree, taking arrays from the front of the numbers."""

    def __init__(self, numbers: memoryview) -> None:
        self.numbers, self.parts = numbers, 0

    def read(self, node: Any, depth: int) -> Any:
        self.parts += 1
        if depth > DEEPEST or self.parts > MOST_PARTS:
            raise TransportError(f"it has more than {MOST_PARTS:,} parts, or lists more than {DEEPEST} deep")
        below = depth + 1
        match node:
            case ["none"]:
                return None
            case ["bool", bool(value)]:
                return value
            case ["int", str(digits)]:
                return int(digits, 16)
            case ["float", str(digits)]:
                return float.fromhex(digits)
            case ["str", str(text)]:
                return text
            case ["list", list(items)]:
                return [self.read(item, below) for item in items]
            case ["tuple", list(items)]:
                return tuple(self.read(item, below) for item in items)
            case ["dict", list(items)]:
                return {_word(key): self.read(item, below) for key, item in items}
            case ["array", str(name), list(shape)] if name in ARRAYS:
                dtype = np.dtype(name)
                taken = self._take(shape, dtype.itemsize)
                array = np.frombuffer(taken, dtype.newbyteorder("<")).reshape(shape)
                return array.astype(dtype)
            case ["tensor", str(name), list(shape)] if name in TENSORS:
                dtype = TENSORS[name]
                taken = self._take(shape, dtype.itemsize)
                flat = (
                    torch.frombuffer(taken, dtype=torch.uint8).view(dtype)
                    if taken
                    else torch.empty(0, dtype=dtype)
                )
                return flat.reshape(shape)
            case ["net", str(builder), options, int(seed), str(dtype)]:
                return Net(builder, self.read(options, below), seed, dtype)
        raise TransportError("it holds an unknown part")

    def _take(self, shape: list[Any], itemsize: int) -> bytearray:
        if len(shape) > 32 or not all(type(size) is int and 0 <= size < 1 << 48 for size in shape):
            raise TransportError("it holds an impossible shape")
        size = math.prod(shape) * itemsize
        if size > len(self.numbers):
            raise TransportError("an array in it is shorter than its shape says")
        taken, self.numbers = bytearray(self.numbers[:size]), self.numbers[size:]
        return taken


def _word(key: Any) -> str:
    if not isinstance(key, str):
        raise TransportError("a key in it is no word")
    return key
