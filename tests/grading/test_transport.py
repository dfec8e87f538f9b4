"""Values as bytes and back, and bytes that are no values."""

import json
import socket
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cleanprio_lib.checks.checking import Net
from cleanprio_lib.grading import transport
from cleanprio_lib.grading.transport import TransportError, pack, unpack

arrays = st.sampled_from(sorted(transport.ARRAYS)).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
tensors = st.tuples(
    st.sampled_from(sorted(transport.TENSORS)),
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 2**32),
).map(lambda made: _drawn(*made))
nets = st.builds(
    Net,
    st.sampled_from(["fully_connected", "mnist_cnn"]),
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    st.integers(0, 2**31),
    st.sampled_from(["float32", "float64"]),
)
numbers = st.booleans() | st.integers() | st.floats()
leaves = st.none() | numbers | st.text(max_size=20) | arrays | tensors | nets
values = st.recursive(
    leaves,
    lambda below: (
        st.lists(below, max_size=3)
        | st.lists(below, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), below, max_size=3)
    ),
    max_leaves=12,
)


def _drawn(dtype, shape, seed):
    return (100 * torch.rand(shape, generator=torch.Generator().manual_seed(seed))).to(getattr(torch, dtype))


def same(one, other):
    """Equal in kind, dtype, shape and every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and _bits(one) == _bits(other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, float):
        return one.hex() == other.hex()
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def _bits(tensor):
    return tensor.reshape(-1).view(torch.uint8).tolist() if tensor.numel() else []


@settings(max_examples=150, deadline=None)
@given(values)
def test_a_value_comes_back_as_it_was(value):
    assert same(unpack(pack(value)), value)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_named_error(message):
    with suppress(TransportError):
        unpack(message)


@settings(max_examples=100, deadline=None)
@given(values, st.data())
def test_a_damaged_message_is_a_value_or_a_named_error(value, data):
    message = bytearray(pack(value))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.integers(1, 255))
    with suppress(TransportError):
        unpack(bytes(message))


def _message(tree, numbers=b""):
    text = json.dumps(tree).encode()
    return len(text).to_bytes(8, "big") + text + numbers


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"", "length"),
        (_message(["array", "float64", [1 << 40]]), "shorter than its shape"),
        (_message(["array", "float64", [-1]]), "impossible shape"),
        (_message(["array", "float64", [2.0]], bytes(16)), "impossible shape"),
        (_message(["array", "object", [1]], bytes(8)), "unknown part"),
        (_message(["tensor", "float32", [1]], bytes(8)), "left over"),
        (_message(["int", "9" * 10, 3]), "unknown part"),
        (_message(["dict", [[1, ["none"]]]]), "no word"),
        (_message(["list", [["none"]] * (transport.MOST_PARTS + 1)]), "parts"),
    ],
)
def test_messages_that_lie_are_refused(message, words):
    with pytest.raises(TransportError, match=words):
        unpack(message)


def test_depth_is_bounded_both_ways():
    deep = []
    for _ in range(transport.DEEPEST + 1):
        deep = [deep]
    with pytest.raises(TransportError, match="deep"):
        pack(deep)
    tree = ["list", []]
    for _ in range(transport.DEEPEST + 1):
        tree = ["list", [tree]]
    with pytest.raises(TransportError, match="deep"):
        unpack(_message(tree))


class Liar(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__

    def __float__(self):
        return 42.0

    def hex(self):
        return (42.0).hex()


class Act:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_of_a_class_comes_along():
    arrived = unpack(pack(Liar(1.0)))
    assert type(arrived) is float
    assert arrived == 1.0
    array = unpack(pack(np.arange(3).view(np.matrix)))
    assert type(array) is np.ndarray


@pytest.mark.parametrize(
    "value",
    [Act(), {1: 2}, {"a": {3}}, np.array([Act()]), np.array(["a"]), torch.eye(2).to_sparse(), object],
)
def test_other_things_are_not_sent(value):
    with pytest.raises(TransportError):
        pack(value)


def test_a_long_message_is_not_read():
    one, other = socket.socketpair()
    with one, other:
        one.sendall((1 << 40).to_bytes(8, "big"))
        with pytest.raises(TransportError, match="larger than 1 MiB"):
            transport.receive(other, limit=transport.MIB, seconds=5)


def test_waiting_ends():
    one, other = socket.socketpair()
    with one, other:
        one.sendall((100).to_bytes(8, "big") + b"half")
        with pytest.raises(TimeoutError):
            transport.receive(other, limit=1000, seconds=0.05)
        one.close()
        with pytest.raises(EOFError):
            transport.receive(other, limit=1000, seconds=5)
