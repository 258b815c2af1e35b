"""A dict whose pending values are made once, when they are read."""

import copy
import pickle

import pytest

from deepSTRF.lazy import LazyDict, Pending


class Maker:
    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


@pytest.fixture
def maker():
    return Maker([1, 2])


@pytest.fixture
def lazy(maker):
    return LazyDict({"a": 1, "b": Pending(maker)})


def test_what_is_not_read_is_not_made(lazy, maker):
    assert isinstance(lazy, dict)
    assert list(lazy) == list(lazy.keys()) == ["a", "b"]
    assert len(lazy) == 2
    assert "b" in lazy
    assert lazy["a"] == lazy.get("a") == 1
    assert "made when it is asked for" in repr(lazy)
    lazy["a"] = 3
    twin = lazy.copy().replaced({"c": 4}) | {"a": 5}
    assert (twin["a"], twin["c"], lazy["a"]) == (5, 4, 3)
    del lazy["b"]
    assert maker.calls == 0


@pytest.mark.parametrize(
    "read",
    [
        lambda lazy: lazy["b"],
        lambda lazy: lazy.get("b"),
        lambda lazy: lazy.pop("b"),
        lambda lazy: lazy.setdefault("b"),
        lambda lazy: dict(lazy)["b"],
        lambda lazy: {**lazy}["b"],
        lambda lazy: {"z": 0, **lazy}["b"],
        lambda lazy: ({"z": 0} | lazy)["b"],
        lambda lazy: (lazy | {"z": 0})["b"],
        lambda lazy: dict(lazy.items())["b"],
        lambda lazy: list(lazy.values())[1],
        lambda lazy: (lambda a, b: b)(**lazy),
        lambda lazy: copy.copy(lazy)["b"],
        lambda lazy: copy.deepcopy(lazy)["b"],
        lambda lazy: pickle.loads(pickle.dumps(lazy))["b"],
        lambda lazy: lazy.mapped(lambda value: value)["b"],
    ],
)
def test_every_way_to_read_it_gives_the_value(lazy, maker, read):
    assert read(lazy) == [1, 2]
    assert maker.calls == 1


def test_copies_share_what_is_made(lazy, maker):
    twins = [lazy.copy(), lazy.replaced({"a": 2}), lazy.mapped(lambda value: value)]
    assert all(twin["b"] is maker.value for twin in twins)
    assert maker.calls == 1


def test_it_equals_a_dict(lazy):
    assert lazy == {"a": 1, "b": [1, 2]}
    with pytest.raises(KeyError):
        lazy["c"]


def test_what_fails_is_tried_again():
    values = iter([ZeroDivisionError(), 1])

    def make():
        value = next(values)
        if isinstance(value, Exception):
            raise value
        return value

    lazy = LazyDict({"a": Pending(make)})
    with pytest.raises(ZeroDivisionError):
        lazy["a"]
    assert lazy["a"] == 1
