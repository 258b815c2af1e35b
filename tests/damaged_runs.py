"""Damage to the files of a run."""

import functools
import json
import shutil

CONTENTS = {
    "missing": None,
    "folder": "folder",
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "bytes": lambda content: b"\xff\x00" * 50,
}


def damaged(run, folder, name, content):
    """A copy of the run, with one file missing (None), made a folder ('folder'), or of other content."""
    copy = folder / "copy"
    shutil.copytree(run, copy)
    path = copy / name
    before = path.read_bytes()
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content(before))
    return copy


def edited(*keys, to):
    """Change the entry of a JSON file that `keys` lead to."""

    def edit(content):
        value = json.loads(content)
        functools.reduce(lambda entry, key: entry[key], keys[:-1], value)[keys[-1]] = to
        return json.dumps(value).encode()

    return edit


def without(*keys):
    def edit(content):
        value = json.loads(content)
        del functools.reduce(lambda entry, key: entry[key], keys[:-1], value)[keys[-1]]
        return json.dumps(value).encode()

    return edit


def option(name, value):
    return edited("options", name, to=value)


def score(value, part="test", name="cc_norm", statistic="median"):
    return edited("parts", part, name, statistic, to=value)
