"""Models of movies: against independent computations, and fitted to simulated cells whose fields are known."""

import functools
import math

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.metrics import poisson_loss
from deepSTRF.models import NeuralModel
from deepSTRF.models.bin_by_bin import NotStreamableError
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.transfer import transfer
from deepSTRF.models.video import (
    CausalConv3d,
    Conv3dCore,
    ConvGRU,
    ConvGRUNet,
    ConvNet3D,
    GaussianReadout,
    SpaceTimeKernel,
    VideoEncodingModel,
    VideoLinearNonlinear,
)
from deepSTRF.testing import check_model
from deepSTRF.training import Fitter, set_random_seed
from deepSTRF.utils import neural_collate

SIZE = (5, 6)
SMALL = {
    "full": lambda: VideoLinearNonlinear(SIZE, 4, 3),
    "separable": lambda: VideoLinearNonlinear(SIZE, 4, 3, rank=1),
    "rank 2, colour": lambda: VideoLinearNonlinear(SIZE, 4, 3, rank=2, in_channels=2),
    "raised cosines": lambda: VideoLinearNonlinear(SIZE, 8, 3, n_basis=3),
    "one bin": lambda: VideoLinearNonlinear(SIZE, 1, 3, output_activation=nn.Identity()),
    "factorised": lambda: ConvNet3D(SIZE, (3, 4), (3, 3), (3, 2), out_neurons=3),
    "not factorised, colour": lambda: ConvNet3D(SIZE, (3,), (3,), (4,), factorised=False, out_neurons=3, in_channels=2),
    "single frames": lambda: ConvNet3D(SIZE, (3, 3, 2), (3, 1, 3), (1, 1, 1), out_neurons=3),
    "gru": lambda: ConvGRUNet(SIZE, 2, 3, encoder_channels=3, hidden_channels=2, spatial_kernel=3),
    "gru, single frames, colour": lambda: ConvGRUNet(
        SIZE, 1, 3, nn.Softplus(), encoder_channels=2, hidden_channels=2, recurrent_kernel=1, in_channels=3
    ),
}


@pytest.fixture(params=SMALL)
def model(request):
    torch.manual_seed(0)
    return SMALL[request.param]().eval()


def movies(model, n_stims=2, n_bins=11):
    return torch.randn(n_stims, model.C_in, model.H, model.W, n_bins)


# --- the contract, with options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_models_of_movies_keep_the_contract(name):
    check_model(SMALL[name])


def test_every_model_of_movies_runs_bin_by_bin(model):
    stims = movies(model)
    stream = model.stream(batch_size=2)
    predictions = torch.cat([stream.step(frame) for frame in stims.split(1, -1)], -1)
    torch.testing.assert_close(predictions, model(stims), atol=1e-5, rtol=0)


def test_a_saved_model_comes_back_from_any_base_class(model, tmp_path):
    model.save_pretrained(tmp_path)
    for cls in (NeuralModel, VideoEncodingModel):
        again = cls.from_pretrained(tmp_path)
        assert type(again) is type(model)
        stims = movies(model)
        assert torch.equal(again(stims), model(stims))


def test_the_gradient_map_is_that_of_minus_the_response(model):
    stims = torch.zeros(1, model.C_in, model.H, model.W, model.T, requires_grad=True)
    gradients = torch.stack([torch.autograd.grad(model(stims)[0, n, 0, -1], stims)[0][0] for n in range(3)])
    torch.testing.assert_close(model.STRF_gradmap(), -gradients, atol=1e-6, rtol=1e-4)


def test_a_core_is_carried_over_to_another_population():
    model = SMALL["factorised"]().eval()
    new = transfer(model, out_neurons=7)
    stims = movies(model)
    assert new(stims).shape == (2, 7, 1, 11)
    assert torch.equal(new.eval().core(stims), model.core(stims))


# --- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spatial_resol", "error"),
    [(5, TypeError), ((5,), ValueError), ((5, 6, 7), ValueError), ("56", TypeError), (None, TypeError)],
)
def test_the_size_of_a_frame_is_two_integers(spatial_resol, error):
    with pytest.raises(error, match="two integers"):
        VideoLinearNonlinear(spatial_resol)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VideoLinearNonlinear((5, 0)), r"spatial_resol\[1\] must be a positive integer, got 0"),
        (lambda: VideoLinearNonlinear(SIZE, 0), r"temporal_window_size \(T\) must be a positive int"),
        (lambda: VideoLinearNonlinear(SIZE, 4, rank=0), "rank must be a positive int"),
        (lambda: VideoLinearNonlinear(SIZE, 4, rank=5), "rank is at most 4 with F=30"),
        (lambda: VideoLinearNonlinear(SIZE, 4, rank=1, n_basis=2), "rank or n_basis, not both"),
        (lambda: VideoLinearNonlinear(SIZE, 2, n_basis=5), "5 bumps are not independent in a window of 2 bins"),
        (lambda: VideoLinearNonlinear(SIZE, in_channels=-1), "in_channels must be a positive int"),
        (lambda: ConvNet3D(SIZE, (3, 4), (3,), (3, 2)), "one entry per layer, got 2, 1 and 2 entries"),
        (lambda: ConvNet3D(SIZE, (), (), ()), "one entry per layer"),
        (lambda: ConvNet3D(SIZE, (3,), (4,), (3,)), "spatial_kernel must be odd, so that it has a middle, got 4"),
        (lambda: ConvGRUNet(SIZE, recurrent_kernel=2), "kernel_size must be odd"),
        (lambda: ConvGRUNet(SIZE, hidden_channels=0), "hidden_channels must be a positive int"),
        (lambda: GaussianReadout(2, SIZE, 3, init_range=1.0), "init_range must be below 1"),
        (lambda: GaussianReadout(2, SIZE, 3, init_sigma=0.0), "init_sigma must be positive"),
        (lambda: GaussianReadout(2, (5, 0), 3), r"spatial_resol\[1\] must be a positive integer"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("shape", [(1, 1, 6, 5, 3), (1, 5, 6, 3), (1, 2, 5, 6, 3), (1, 1, 5, 6, 0)])
def test_movies_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected movies of shape \(B, 1, 5, 6, T\)"):
        SMALL["full"]()(torch.zeros(shape))


def test_movies_in_another_precision_are_explained(model):
    with pytest.raises(TypeError, match=r"the movies are torch\.float64, but the model computes in torch\.float32"):
        model(movies(model).double())


def test_an_output_activation_that_nobody_uses_is_refused():
    class Luminance(VideoEncodingModel):
        def __init__(self, output_activation=None, used=True):
            super().__init__(SIZE, 1, 2, output_activation)
            self.core = nn.Sequential(nn.AdaptiveAvgPool3d((1, 1, None)), nn.Flatten(2, 3))
            self.readout = LinearReadout(1, 2, activation=self.output_activation if used else None)

    model = Luminance(nn.Softplus())
    check_model(model)
    with pytest.raises(NotStreamableError, match="AdaptiveAvgPool3d"):
        model.stream().step(torch.zeros(1, 1, *SIZE, 1))
    assert list(dict(model.named_parameters())) == ["readout.fc.weight", "readout.fc.bias"]
    with pytest.raises(ValueError, match="does not use its output_activation"):
        Luminance(nn.Softplus(), used=False)
    with pytest.raises(TypeError, match="output_activation must be a torch"):
        Luminance(nn.Softplus)


# --- layers, against independent computations ------------------------------------------------------------------------


def test_the_ln_model_is_the_field_the_gain_and_the_offset():
    torch.manual_seed(0)
    model = VideoLinearNonlinear(SIZE, 4, 2, nn.Identity(), in_channels=2).double()
    model.train()(movies(model).double())  # running statistics that are not 0 and 1
    model.eval()
    stims = movies(model).double()
    fields, (_, offset) = receptive_fields(model).numpy(), model.readout.effective_kernel()
    padded = functional.pad(stims, (3, 0))[0].numpy()
    expected = [signal.correlate(padded, field, mode="valid").squeeze() for field in fields]
    got = model(stims)[0, :, 0].detach().numpy()
    np.testing.assert_allclose(got, np.stack(expected) + offset.detach().numpy()[:, None], atol=1e-10)


@pytest.mark.parametrize("rank", [1, 3])
def test_a_kernel_of_some_rank_computes_what_its_sum_of_products_computes(rank):
    torch.manual_seed(0)
    kernel = SpaceTimeKernel(F=30, T=4, C_in=2, C_out=3, rank=rank).double()
    x = torch.randn(2, 2, 30, 14, dtype=torch.float64)
    full = kernel.build_kernel()
    assert (torch.linalg.matrix_rank(full) == rank).all()
    torch.testing.assert_close(kernel(x), functional.conv2d(x, full, kernel.bias))


@pytest.mark.parametrize("factorised", [False, True])
def test_the_convolution_looks_at_the_past_and_keeps_the_picture(factorised):
    torch.manual_seed(0)
    layer = CausalConv3d(1, 2, spatial_kernel=3, temporal_kernel=4, factorised=factorised).double()
    x = torch.randn(1, 1, *SIZE, 9, dtype=torch.float64)
    if factorised:
        space, time = layer.space.weight.detach(), layer.time.weight.detach()
        weight = torch.einsum("mcij,omk->ocijk", space[..., 0], time[:, :, 0, 0])
    else:
        weight = layer.time.weight.detach()
    padded = np.pad(x[0, 0].numpy(), ((1, 1), (1, 1), (3, 0)))
    expected = np.stack([signal.correlate(padded, w.numpy(), mode="valid") for w in weight[:, 0]])
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), expected, atol=1e-12)


def test_padding_of_a_movie_changes_nothing_in_training():
    torch.manual_seed(0)
    core = Conv3dCore(1, (3, 2), (3, 3), (3, 2)).double().train()
    x = torch.randn(2, 1, *SIZE, 12, dtype=torch.float64)
    x[1, ..., 8:] = 0
    short, statistics = core(x), [norm.running_var.clone() for norm in core.norms]
    for norm in core.norms:
        norm.reset_running_stats()
    long = core(functional.pad(x, (0, 20)))
    torch.testing.assert_close(long[..., :12], short)
    torch.testing.assert_close([norm.running_var for norm in core.norms], statistics)


def test_on_single_pixels_the_convolutional_gru_is_the_gru():
    torch.manual_seed(0)
    layer, cell = ConvGRU(3, 4, kernel_size=1).double(), nn.GRUCell(3, 4).double()
    with torch.no_grad():
        for convolution, weight, bias in (
            (layer.from_input, cell.weight_ih, cell.bias_ih),
            (layer.from_state, cell.weight_hh, cell.bias_hh),
        ):
            convolution.weight.copy_(weight[:, :, None, None])
            convolution.bias.copy_(bias)
    x = torch.randn(2, 3, 2, 1, 7, dtype=torch.float64)
    got = layer(x)
    for row in range(2):
        hidden = None
        for t in range(7):
            hidden = cell(x[:, :, row, 0, t], hidden)
            torch.testing.assert_close(got[:, :, row, 0, t], hidden)


# --- the readout -----------------------------------------------------------------------------------------------------


def readout_at(positions, **options):
    """A readout of one map, whose neurons look at these positions (row, column) in pixels, with weight 1."""
    positions = torch.as_tensor(positions, dtype=torch.float64)
    readout = GaussianReadout(1, SIZE, len(positions), **options).double()
    with torch.no_grad():
        readout.raw_mean.copy_(torch.atanh(2 * positions / torch.tensor([SIZE[0] - 1, SIZE[1] - 1]) - 1))
        readout.features.fill_(1)
    return readout


def test_a_neuron_reads_between_the_pixels():
    positions = [[1.0, 2.0], [1.5, 2.0], [2.3, 4.9], [0.2, 0.1]]
    readout = readout_at(positions).eval()
    np.testing.assert_allclose(readout.positions(), positions)
    x = torch.randn(2, 1, *SIZE, 3, dtype=torch.float64)
    got = readout(x)
    for stim in range(2):
        for t in range(3):
            expected = ndimage.map_coordinates(x[stim, 0, ..., t].numpy(), np.transpose(positions), order=1)
            np.testing.assert_allclose(got[stim, :, 0, t].detach(), expected)


def test_in_training_positions_are_drawn_around_the_mean():
    readout = readout_at([[2.0, 2.5], [1.0, 3.0]], init_sigma=0.1).train()
    with torch.no_grad():
        readout.log_sigma[1, 0] = math.log(1e-9)
    rows, columns = torch.meshgrid(*(torch.arange(float(n), dtype=torch.float64) for n in SIZE), indexing="ij")
    torch.manual_seed(0)
    row, column = (readout(m.expand(2, 1, 5000, *SIZE).movedim(2, -1)).detach()[:, :, 0] for m in (rows, columns))
    np.testing.assert_allclose(row.mean((0, 2)), [2.0, 1.0], atol=0.01)
    np.testing.assert_allclose(column.mean((0, 2)), [2.5, 3.0], atol=0.01)
    # a spread of 0.1, where -1 to 1 are 4 rows or 5 columns
    np.testing.assert_allclose(row.std(2).numpy(), [[0.2, 0.0]] * 2, atol=0.01)
    np.testing.assert_allclose(column.std(2).numpy(), [[0.25, 0.25]] * 2, atol=0.01)
    assert abs(np.corrcoef(column[0])[0, 1]) < 0.05  # each neuron by itself
    assert abs(np.corrcoef(column[:, 0])[0, 1]) < 0.05  # each stimulus too


def test_what_is_drawn_comes_from_the_seed():
    readout, x = GaussianReadout(2, SIZE, 3).train(), torch.randn(2, 2, *SIZE, 4)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(readout(x))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert torch.equal(readout.eval()(x), readout(x))


def test_a_readout_of_other_features_says_so():
    with pytest.raises(ValueError, match=r"expected features \(B, 2, 5, 6, T\), got \(1, 3, 5, 6, 4\)"):
        GaussianReadout(2, SIZE, 3)(torch.zeros(1, 3, *SIZE, 4))
    with pytest.raises(ValueError, match="for 4 neurons, but there are 3"):
        VideoLinearNonlinear(SIZE, 4, 3, output_activation=VideoLinearNonlinear(SIZE, 4, 4).output_activation)


def test_neurons_are_placed_where_they_are_known_to_look():
    readout = GaussianReadout(2, SIZE, 3)
    places = torch.tensor([[1.0, 2.5], [3.2, 1.0], [0.0, 5.0]])
    readout.place(places)
    np.testing.assert_allclose(readout.positions(), places, atol=0.03)
    before = readout.log_sigma.detach().clone()
    readout.place(places)
    assert torch.equal(readout.log_sigma, before)
    readout.place(places, spread=0.5)  # of 0.5 pixels, where ±1 are the outermost ones
    np.testing.assert_allclose(
        readout.log_sigma.detach().exp()[0], [2 * 0.5 / (readout.H - 1), 2 * 0.5 / (readout.W - 1)], rtol=1e-5
    )
    with pytest.raises(ValueError, match="spread"):
        readout.place(places, spread=0.0)
    assert readout.raw_mean.requires_grad
    assert readout.raw_mean.isfinite().all()
    for bad in (places[:2], torch.tensor([[1.0, 2.0], [3.0, 1.0], [4.5, 0.0]]), -places, places * math.nan):
        with pytest.raises(ValueError, match=r"positions must be \(3, 2\).* from 0 to 4 and 5"):
            readout.place(bad)
    single = GaussianReadout(1, (1, 1), 1)
    single.place([[0, 0]])
    assert torch.equal(single.positions(), torch.zeros(1, 2))


def test_the_readout_finds_where_neurons_look_in_known_features():
    """Smooth maps, noisy neurons at known places: positions, spreads and weights are learned from their responses."""
    torch.manual_seed(0)
    size, places = (12, 12), torch.tensor([[2.3, 3.1], [8.2, 2.0], [6.0, 6.4], [9.5, 8.7]])
    weights = torch.tensor([1.0, -1.0, 1.0, -1.0])
    noise = ndimage.gaussian_filter(torch.randn(8, 1, *size, 60).numpy(), (0, 0, 1.5, 1.5, 0))
    maps = torch.from_numpy(noise / noise.std())
    pictures = maps[:, 0].permute(0, 3, 1, 2).flatten(0, 1).numpy()
    seen = np.stack([ndimage.map_coordinates(picture, places.T.numpy(), order=1) for picture in pictures])
    responses = weights[:, None, None] * torch.from_numpy(seen).unflatten(0, (8, 60)).transpose(1, 2).unsqueeze(2)
    responses += torch.randn_like(responses)
    readout = GaussianReadout(1, size, 4)
    optimizer = torch.optim.Adam(readout.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        (readout(maps) - responses).square().mean().backward()
        optimizer.step()
    np.testing.assert_allclose(readout.positions(), places, atol=0.4)
    assert (readout.log_sigma.exp() < 0.15).all()
    np.testing.assert_allclose(readout.features[:, 0].detach(), weights, atol=0.2)


# --- simulated retina ------------------------------------------------------------------------------------------------


def simulated_cells(n_neurons, n_movies, n_bins, n_repeats=4, size=10, n_lags=8, seed=0):
    """LN cells with a centre, a surround and a biphasic time course, on white noise; and what is known of them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size))
    centres = rng.uniform(1.5, size - 2.5, (n_neurons, 2))
    distance = (rows - centres[:, :1, None]) ** 2 + (columns - centres[:, 1:, None]) ** 2
    space = np.exp(-distance / 2) - 0.3 * np.exp(-distance / 8)
    lags = np.arange(n_lags)[::-1]
    time = np.exp(-lags / 1.5) * np.sin(2 * np.pi * (lags + 0.5) / 8)
    fields = space[..., None] * time
    fields /= np.sqrt((fields**2).sum((1, 2, 3), keepdims=True))
    fields[1::2] *= -1  # off cells
    stims, responses = [], []
    for _ in range(n_movies):
        movie = rng.normal(size=(size, size, n_bins))
        padded = np.pad(movie, ((0, 0), (0, 0), (n_lags - 1, 0)))
        drive = np.stack([signal.correlate(padded, field, mode="valid")[0, 0] for field in fields])
        rate = 0.3 * np.log1p(np.exp(2 * drive - 0.5))
        stims.append(movie)
        responses.append(rng.poisson(rate[:, None], (n_neurons, n_repeats, n_bins)))
    dataset = VideoNeuralDataset.from_arrays(stims, responses, dt_ms=16.7)
    return dataset, torch.from_numpy(fields).float(), torch.from_numpy(centres).float()


def fitted(model, dataset, lr, epochs, **options):
    """Fit with the Fitter; return it and its scores on the test movies."""
    parts = dataset.split("holdout:2")
    loaders = [DataLoader(part, batch_size=2, collate_fn=neural_collate) for part in parts]
    fitter = Fitter(
        model,
        *loaders[:2],
        loss_fn=poisson_loss,
        optimizer=functools.partial(torch.optim.AdamW, lr=lr),
        max_epochs=epochs,
        patience=epochs,
        restore_best=True,
        track_train_metrics=False,
        log_fn=None,
        **options,
    )
    fitter.fit()
    return fitter, fitter.evaluate(loaders[2])


def peaks_of(fields):
    """Row and column of the strongest pixel."""
    pixel = fields.abs().amax(-1).flatten(1).argmax(1)
    return torch.stack([pixel // fields.shape[2], pixel % fields.shape[2]], 1)


@pytest.mark.parametrize("rank", [1, 2])
def test_separable_fields_are_recovered_with_their_places(rank):
    dataset, fields, centres = simulated_cells(n_neurons=4, n_movies=22, n_bins=300)
    set_random_seed(0)
    model = VideoLinearNonlinear((10, 10), 8, out_neurons=4, rank=rank)
    fitter, scores = fitted(model, dataset, lr=2e-2, epochs=15, track_per_cell_best=True)
    recovered = receptive_fields(model)
    assert recovered.shape == (4, 10, 10, 8)
    assert (strf_correlation(fields, recovered) > 0.9).all()
    np.testing.assert_allclose(peaks_of(recovered), centres, atol=0.75)
    assert (scores["cc_norm"] > 0.8).all()
    assert fitter.history[0]["val_cc_norm"].shape == (4,)


@pytest.mark.slow
def test_full_fields_are_recovered():
    dataset, fields, _ = simulated_cells(n_neurons=4, n_movies=30, n_bins=400)
    set_random_seed(0)
    model = VideoLinearNonlinear((10, 10), 8, out_neurons=4)
    _, scores = fitted(model, dataset, lr=3e-3, epochs=15)
    assert (strf_correlation(fields, receptive_fields(model)) > 0.9).all()
    assert (scores["cc_norm"] > 0.8).all()


def test_neurons_that_are_placed_about_right_find_their_places():
    dataset, fields, centres = simulated_cells(n_neurons=6, n_movies=12, n_bins=150)
    set_random_seed(0)
    model = ConvNet3D((10, 10), (1,), (7,), (8,), factorised=False, out_neurons=6)
    rows, columns = np.indices((7, 7)) - 3
    space = np.exp(-(rows**2 + columns**2) / 2) - 0.3 * np.exp(-(rows**2 + columns**2) / 8)
    time = fields[0].flatten(0, 1)[fields[0].flatten(0, 1).norm(dim=1).argmax()]
    with torch.no_grad():
        model.core.convolutions[0].time.weight.copy_(torch.from_numpy(space)[..., None] * time)
    model.freeze("core")
    model.readout.place((centres + 2 * torch.rand(6, 2) - 1).round())
    assert (model.readout.positions() - centres).norm(dim=1).mean() > 0.5
    _, scores = fitted(model, dataset, lr=3e-2, epochs=20)
    np.testing.assert_allclose(model.readout.positions(), centres, atol=0.2)
    assert (scores["cc_norm"] > 0.8).all()


@pytest.mark.slow
def test_a_convolutional_model_learns_the_fields_of_all_cells():
    dataset, fields, centres = simulated_cells(n_neurons=8, n_movies=16, n_bins=200)
    set_random_seed(0)
    model = ConvNet3D((10, 10), (8,), (7,), (8,), out_neurons=8)
    _, scores = fitted(model, dataset, lr=2e-2, epochs=40)
    recovered = receptive_fields(model, n_lags=8)
    assert (strf_correlation(fields, recovered) > 0.9).all()
    np.testing.assert_allclose(peaks_of(recovered), centres, atol=0.75)
    assert (scores["cc_norm"] > 0.8).all()


@pytest.mark.slow
def test_a_recurrent_model_learns_the_cells():
    dataset, fields, _ = simulated_cells(n_neurons=4, n_movies=10, n_bins=100, size=7)
    set_random_seed(0)
    model = ConvGRUNet((7, 7), 2, out_neurons=4, encoder_channels=4, hidden_channels=4, spatial_kernel=5)
    _, scores = fitted(model, dataset, lr=2e-2, epochs=20)
    assert strf_correlation(fields, receptive_fields(model, n_lags=8)).mean() > 0.7
    assert scores["cc_norm"].mean() > 0.6
