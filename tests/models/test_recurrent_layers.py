"""The recurrent layers of StateNet against their equations in NumPy, and their gradients against finite differences."""

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import scipy.special
import torch
from torch import nn

from deepSTRF.models.audio import StateNet
from deepSTRF.models.bin_by_bin import map_state
from deepSTRF.models.layers import s4
from deepSTRF.models.layers.lmu import LMU, legendre_delay
from deepSTRF.models.layers.mamba import Mamba
from deepSTRF.models.layers.recurrence import linear_recurrence, tanh_recurrence
from deepSTRF.models.layers.rnn import RNN
from deepSTRF.models.layers.s4 import S4, S4D, legs_modes

LAYERS = {
    "RNN": lambda size: RNN(size, size),
    "LMU": lambda size: LMU(size, size, memory_size=5, theta=12.0),
    "Mamba": lambda size: Mamba(size, d_state=3, d_conv=3, expand=2),
    "S4": lambda size: S4(size, d_state=6),
    "S4D": lambda size: S4D(size, d_state=6),
}


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.fixture(params=LAYERS)
def layer(request):
    torch.manual_seed(0)
    return LAYERS[request.param](4).double()


# --- the equations ---------------------------------------------------------------------------------------------------


def numbers(layer):
    return {name: tensor.detach().numpy() for name, tensor in (*layer.named_parameters(), *layer.named_buffers())}


def lmu(layer, x):
    """The equations of Voelker et al. with their matrices, held by SciPy."""
    p, d = numbers(layer), layer.memory_size
    A, B = np.zeros((d, d)), np.zeros((d, 1))
    for i in range(d):
        B[i] = (2 * i + 1) * (-1) ** i / layer.theta
        for j in range(d):
            A[i, j] = (2 * i + 1) / layer.theta * (-1 if i < j else (-1) ** (i - j + 1))
    A, B, *_ = scipy.signal.cont2discrete((A, B, np.eye(d), np.zeros((d, 1))), 1.0)
    h, m, out = np.zeros(layer.hidden_size), np.zeros(d), []
    for x_t in x:
        u = p["e_x"][0] @ x_t + p["e_h"][0] @ h + p["e_m"][0] @ m
        m = A @ m + B[:, 0] * u
        h = np.tanh(p["W_x"] @ x_t + p["W_h"] @ h + p["W_m"] @ m)
        out.append(h)
    return np.stack(out)


def silu(x):
    return x / (1 + np.exp(-x))


def mamba(layer, x):
    """Algorithm 2 of Gu & Dao, channel by channel."""
    p = numbers(layer)
    n_channels, taps = p["D"].size, layer.d_conv
    projected = x @ p["in_proj.weight"].T
    signal, gate = projected[:, :n_channels], projected[:, n_channels:]
    padded = np.concatenate([np.zeros((taps - 1, n_channels)), signal])
    h, out = np.zeros((n_channels, layer.d_state)), []
    for t in range(len(x)):
        c = np.array([padded[t : t + taps, e] @ p["conv1d.weight"][e, 0] for e in range(n_channels)])
        c = silu(c + p["conv1d.bias"])
        read = p["x_proj.weight"] @ c
        dt = np.logaddexp(0, p["dt_proj.weight"] @ read[: layer.dt_rank] + p["dt_proj.bias"])
        B, C = np.split(read[layer.dt_rank :], 2)
        for e in range(n_channels):
            h[e] = np.exp(-dt[e] * np.exp(p["A_log"][e])) * h[e] + dt[e] * B * c[e]
        out.append(p["out_proj.weight"] @ ((h @ C + p["D"] * c) * silu(gate[t])))
    return np.stack(out)


def as_complex(pair):
    return pair[..., 0, :] + 1j * pair[..., 1, :]


def both_halves(modes):
    return np.concatenate([modes, modes.conj()])


def discrete_system(layer, feature):
    """(A, B, C) of one feature, on all modes."""
    p = numbers(layer)
    dt, C = np.exp(p["log_dt"][feature]), both_halves(as_complex(p["C"][feature]))
    if isinstance(layer, S4D):
        modes = both_halves(-np.exp(p["log_decay"][feature]) + 1j * p["frequency"][feature])
        return np.diag(np.exp(dt * modes)), np.expm1(dt * modes) / modes, C
    P, B = both_halves(as_complex(p["P"])), both_halves(as_complex(p["B"]))
    A = np.diag(both_halves(-np.exp(p["log_decay"]) + 1j * p["frequency"])) - np.outer(P, P.conj())
    solve = np.linalg.inv(np.eye(len(A)) - dt / 2 * A)
    return solve @ (np.eye(len(A)) + dt / 2 * A), solve @ B * dt, C


def mixed(layer, y):
    """What comes behind the state space."""
    p = numbers(layer)
    y = y * scipy.special.ndtr(y)
    a, b = np.split(y @ p["out_proj.weight"].T + p["out_proj.bias"], 2, axis=1)
    return a / (1 + np.exp(-b))


def state_space(layer, x):
    y = numbers(layer)["D"] * x
    for feature in range(x.shape[1]):
        A, B, C = discrete_system(layer, feature)
        state = np.zeros(len(A), complex)
        for t in range(len(x)):
            state = A @ state + B * x[t, feature]
            y[t, feature] += (C @ state).real
    return mixed(layer, y)


EQUATIONS = {"LMU": lmu, "Mamba": mamba, "S4": state_space, "S4D": state_space}


@pytest.mark.parametrize("n_bins", [1, 20, 32, 70])  # with blocks of 32 bins in S4
@pytest.mark.parametrize("name", EQUATIONS)
def test_layers_follow_their_equations(name, n_bins):
    torch.manual_seed(0)
    layer = LAYERS[name](4).double()
    with torch.no_grad():  # away from where the learning starts
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    x = torch.randn(2, n_bins, 4, dtype=torch.float64)
    expected = np.stack([EQUATIONS[name](layer, sound) for sound in x.numpy()])
    got, _ = layer(x)
    tolerance = 1e-6 if name == "LMU" else 1e-12  # the matrices of the LMU are made in single precision
    np.testing.assert_allclose(got.detach().numpy(), expected, atol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], got)


@pytest.mark.parametrize("cls", [S4, S4D])
def test_a_state_space_is_a_convolution_with_its_kernel(cls):
    """The full size, in single precision, against the kernel and the fast Fourier transform."""
    torch.manual_seed(0)
    layer, n_bins = cls(3), 200
    x = torch.randn(1, n_bins, 3)
    y = numbers(layer)["D"] * x[0].numpy()
    for feature in range(3):
        A, B, C = discrete_system(layer.double(), feature)
        kernel = [(C @ np.linalg.matrix_power(A, t) @ B).real for t in range(n_bins)]
        y[:, feature] += scipy.signal.fftconvolve(x[0, :, feature].numpy(), kernel)[:n_bins]
    np.testing.assert_allclose(layer.float()(x)[0][0].detach().numpy(), mixed(layer, y), atol=1e-5)


@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize(("n_bins", "n_stims"), [(1, 1), (7, 1), (7, 3)])
def test_rnn_has_the_values_and_gradients_of_torch(n_bins, n_stims, with_state):
    ours = RNN(4, 6).double()
    theirs = nn.RNN(4, 6, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    x = double(n_stims, n_bins, 4)
    state = double(1, n_stims, 6) if with_state else None
    weights = torch.randn(n_stims, n_bins, 6, dtype=torch.float64)
    results = []
    for layer in (ours, theirs):
        out, last = layer(x, state)
        leaves = [x, *layer.parameters(), *([state] if with_state else [])]
        results.append([out, last, *torch.autograd.grad((out * weights).sum() + last.square().sum(), leaves)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, state)[0], theirs(x, state)[0])


# --- where they start ------------------------------------------------------------------------------------------------


def test_the_memory_of_an_lmu_is_a_window_of_its_input():
    theta, A, B = 60.0, *(tensor.double().numpy() for tensor in legendre_delay(12, 60.0))
    signal = np.sin(np.arange(400) / 15) + np.cos(np.arange(400) / 40)
    m = np.zeros(12)
    for u in signal:
        m = A @ m + B * u
    for bins_ago in range(2, 58, 5):  # an input that is held for a bin is half a bin late
        polynomials = scipy.special.eval_legendre(np.arange(12), 2 * (bins_ago + 0.5) / theta - 1)
        assert polynomials @ m == pytest.approx(signal[-1 - bins_ago], abs=0.02)


def test_s4_starts_as_hippo():
    """The dynamics of the modes and of the matrix of the paper are one, seen from two bases."""
    n = np.arange(8)
    A = -np.tril(np.sqrt(np.outer(2 * n + 1, 2 * n + 1)), -1) - np.diag(n + 1.0)
    modes, P, B = (both_halves(as_complex(part.double().numpy())) for part in legs_modes(8))
    in_modes = np.diag(modes) - np.outer(P, P.conj())
    read, drive = np.sqrt(n + 0.5), np.sqrt(2 * n + 1)
    for t in (0.0, 0.1, 1.0, 3.0):
        expected = read @ scipy.linalg.expm(t * A) @ drive
        got = P.conj() @ scipy.linalg.expm(t * in_modes) @ B
        assert got == pytest.approx(expected, abs=1e-5)


def test_a_long_memory_lasts_under_autocast(layer):
    """Powers of a transition that are rounded to half precision grow without bound."""
    x = torch.randn(2, 4000, 4)
    layer = layer.float()
    with torch.no_grad():
        expected, _ = layer(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got, state = layer(x)
            again, _ = layer(x[:, :3], state)
    assert (got.float() - expected).std() < 0.05 * expected.std()
    assert again.isfinite().all()


# --- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_bins", [1, 4])
def test_gradients_of_the_recursions(n_bins):
    arguments = double(n_bins, 2, 3), double(n_bins, 2, 3), double(2, 3)
    assert torch.autograd.gradcheck(linear_recurrence, arguments)
    fixed = double(3), *arguments[1:]
    assert torch.autograd.gradcheck(lambda gain, *rest: linear_recurrence(gain.expand(n_bins, 2, 3), *rest), fixed)
    for n_tanh in (0, 2, 3):
        arguments = double(n_bins, 2, 3), double(2, 3), double(3, 3)
        assert torch.autograd.gradcheck(lambda *a, n=n_tanh: tanh_recurrence(*a, n), arguments)


def test_gradients_of_the_layers(layer, monkeypatch):
    """Of all parameters, the input and the state; in S4 over two blocks and a bin before."""
    monkeypatch.setattr(s4, "_BLOCK", 4)
    names = [name for name, _ in layer.named_parameters()]
    x = double(2, 9, 4)
    _, state = layer(x)
    start = []
    map_state(lambda tensor: start.append(torch.randn_like(tensor).requires_grad_()), state)

    def run(x, *rest):
        values = dict(zip(names, rest[len(start) :], strict=True))
        given = rest[0] if isinstance(state, torch.Tensor) else rest[: len(start)]
        out, last = torch.func.functional_call(layer, values, (x, given))
        ends = []
        map_state(ends.append, last)
        return out, *ends

    assert torch.autograd.gradcheck(run, (x, *start, *layer.parameters()), atol=1e-6, fast_mode=True)


# --- pieces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [[1] * 9, [70, 1, 40], [33, 64, 5]])
def test_pieces_give_the_output_and_the_gradient_of_the_whole(layer, lengths):
    x, state, pieces = double(2, sum(lengths), 4), None, []
    for piece in x.split(lengths, 1):
        y, state = layer(piece, state)
        pieces.append(y)
    whole, last = layer(x)
    torch.testing.assert_close(torch.cat(pieces, 1), whole)
    torch.testing.assert_close(state, last)
    weights = torch.randn_like(whole)
    torch.testing.assert_close(
        *(torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()]) for y in (torch.cat(pieces, 1), whole))
    )


def test_the_onset_is_a_state_of_zeros_and_a_state_holds_on_to_nothing(layer):
    x = torch.randn(2, 500, 4, dtype=torch.float64)
    with torch.no_grad():
        out, state = layer(x)
        assert torch.equal(layer(x, map_state(torch.zeros_like, state))[0], out)
    map_state(lambda tensor: pytest.fail("a chunk") if tensor.untyped_storage().nbytes() > 2 * 50 * 8 else 0, state)


def test_a_changed_future_leaves_the_past_bit_identical(layer):
    x = torch.randn(2, 100, 4, dtype=torch.float64)
    changed = torch.cat([x[:, :60], 30 * torch.randn(2, 40, 4, dtype=torch.float64)], 1)
    assert torch.equal(layer(x)[0][:, :60], layer(changed)[0][:, :60])


# --- in StateNet -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rnn_type", "one_neuron", "population"),
    [
        ("GRU", 30_467, 39_081),
        ("LSTM", 40_407, 49_021),
        ("RNN", 10_587, 19_201),
        ("vanilla", 10_587, 19_201),
        ("LMU", 19_675, 28_289),
        ("Mamba", 39_147, 47_761),
    ],
)
def test_statenet_has_as_many_parameters_as_published(rnn_type, one_neuron, population):
    assert StateNet(rnn_type=rnn_type).count_trainable_params() == one_neuron
    assert StateNet(rnn_type=rnn_type, out_neurons=119).count_trainable_params() == population


@pytest.mark.parametrize("rnn_type", ["LMU", "Mamba", "S4", "S4D"])
def test_statenet_runs_bin_by_bin_with_every_layer(rnn_type):
    torch.manual_seed(0)
    model = StateNet(12, rnn_type=rnn_type, out_neurons=3).eval()
    x = torch.randn(2, 1, 12, 80)
    stream = model.stream(batch_size=2)
    bins = [stream.step(x[..., t : t + 1]) for t in range(80)]
    torch.testing.assert_close(torch.cat(bins, -1), model(x), atol=1e-5, rtol=0)


def test_statenet_drops_units_in_train_mode_only():
    torch.manual_seed(0)
    model, plain = StateNet(12, dropout=0.5), StateNet(12)
    plain.load_state_dict(model.state_dict())
    x = torch.randn(1, 1, 12, 50)
    assert torch.equal(model.eval()(x), plain.eval()(x))
    assert not torch.equal(model.train()(x), plain.train()(x))
    with pytest.raises(ValueError, match="dropout"):
        StateNet(12, dropout=1.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: S4(4, d_state=5), "even"),
        (lambda: S4D(0), "d_model"),
        (lambda: Mamba(4, d_conv=0), "d_conv"),
        (lambda: LMU(4, 4, memory_size=0), "memory_size"),
        (lambda: LMU(4, 4, theta=-1.0), "theta"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
