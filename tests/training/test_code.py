"""What a callable does is part of a training's identity, not only what it is called."""

import functools

import processes
import pytest
import torch

from deepSTRF.metrics import mse_loss
from deepSTRF.models.audio import Linear
from deepSTRF.training import Fitter
from deepSTRF.training.code import code_digest
from deepSTRF.training.identity import describe, identity

SOURCE = """
import functools, torch
from deepSTRF.metrics import mse_loss
from deepSTRF.training import Fitter
POWER = 2
WORDS = {"b", "a", "c", "dd", "eee"}
def helper(x):
    return x ** POWER
def make(scale):
    def loss(pred, responses, offset=1.0):
        return scale * helper(mse_loss(pred, responses)) + offset * ("a" in {"a", "b", "cc"})
    return loss
class Own(Fitter):
    weight = 1.0
    def compute_loss(self, pred, responses):
        return self.weight * super().compute_loss(pred, responses)
"""


def names(source=SOURCE):
    space = {"__name__": "__main__"}
    exec(source, space)
    return space


def digests(source=SOURCE, scale=2.0):
    space = names(source)
    return code_digest(space["make"](scale)), code_digest(space["Own"])


@pytest.mark.parametrize(
    ("before", "after", "which"),
    [
        ("offset *", "offset +", 0),
        ("offset=1.0", "offset=2.0", 0),
        ("POWER = 2", "POWER = 3", 0),
        ("x ** POWER", "x * POWER", 0),
        ('"cc"', '"dd"', 0),
        ("weight = 1.0", "weight = 2.0", 1),
        ("self.weight *", "self.weight +", 1),
    ],
)
def test_every_change_of_code_is_seen(before, after, which):
    changed = digests(SOURCE.replace(before, after))
    assert changed[which] != digests()[which]
    assert changed[1 - which] == digests()[1 - which]


def test_closures_count_and_comments_do_not():
    assert digests(scale=2.0) != digests(scale=3.0)
    assert digests("# nothing\n\n" + SOURCE) == digests()
    weights = [torch.ones(3), torch.ones(3), torch.zeros(3)]
    one, same, other = (code_digest(lambda p, r, w=w: (p * w).sum()) for w in weights)
    assert one == same != other


def test_a_function_that_calls_itself_ends():
    def loop(n):
        return loop(n - 1)

    assert code_digest(loop)


def test_another_process_gives_the_same(tmp_path):
    script = SOURCE + (
        "from deepSTRF.training.code import code_digest\nprint(code_digest(make(2.0)), code_digest(Own))\n"
    )
    assert tuple(processes.run(script, folder=tmp_path).out.split()) == digests()


def test_the_class_of_the_fitter_and_functions_are_in_the_identity_and_the_librarys_by_name():
    space = names()

    def of(cls, **options):
        return identity(cls(Linear(6, 4, 3), [], [], log_fn=None, **options))

    assert of(Fitter)["fitter"] == "Fitter"
    assert of(space["Own"])["fitter"].startswith("Own [code ")
    assert describe(mse_loss) == "mse_loss"
    assert describe(functools.partial(space["make"](2.0), offset=3)) != describe(
        functools.partial(space["make"](1.0), offset=3)
    )
    schedulers = [
        functools.partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=function)
        for function in (lambda epoch: 0.9**epoch, lambda epoch: 0.8**epoch)
    ]
    one, two = (describe(Fitter(Linear(6, 4, 3), [], [], scheduler=each).scheduler) for each in schedulers)
    assert one != two


def test_from_pretrained_leaves_the_random_numbers_alone(tmp_path):
    Linear(6, 4, 3).save_pretrained(tmp_path)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    Linear.from_pretrained(tmp_path)
    assert torch.equal(torch.rand(3), expected)
