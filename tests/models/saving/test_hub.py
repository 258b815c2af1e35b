"""Models go to the Hub and come back the same. The Hub is a stand-in on this machine; the client is the real one."""

import json
import sys

import huggingface_hub
import pytest
import torch
from hub_stand_in import StandInHub
from huggingface_hub import constants

from deepSTRF.models import NeuralModel
from deepSTRF.models.audio import Linear, StateNet
from deepSTRF.utils import hub


@pytest.fixture
def server(monkeypatch, tmp_path):
    stand_in = StandInHub()
    monkeypatch.setattr(constants, "ENDPOINT", stand_in.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", stand_in.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.chdir(tmp_path)  # where there is no folder called me/model
    yield stand_in
    stand_in.close()


def assert_same(model, other):
    x = torch.randn(2, 1, model.F, 20)
    assert torch.equal(model.eval()(x), other.eval()(x))


def test_a_model_comes_back_from_the_hub_as_it_went(server):
    model = StateNet(12, out_neurons=3)
    url = model.push_to_hub("me/model", metadata={"cc": 0.5}, token=server.token, commit_message="First")
    assert url == f"{server.url}/me/model"
    assert sorted(server.files("me/model")) == ["README.md", "config.json", "metadata.json", "model.safetensors"]
    assert json.loads(server.files("me/model")["config.json"])["_model_class"] == "StateNet"
    assert 'from_pretrained("me/model")' in server.files("me/model")["README.md"].decode()
    assert server.messages == ["First"]
    again, metadata = NeuralModel.from_pretrained("me/model", return_metadata=True)
    assert metadata == {"cc": 0.5}
    assert not again.training
    assert_same(model, again)


def test_what_an_earlier_model_left_goes_away_and_old_revisions_stay(server):
    first, second = Linear(12, out_neurons=2), Linear(12, out_neurons=4)
    first.push_to_hub("me/model", metadata={"cc": 0.5}, token=server.token)
    old = server.commits["me/model"][-1][0]
    second.push_to_hub("me/model", model_card="# mine", token=server.token)
    assert sorted(server.files("me/model")) == ["README.md", "config.json", "model.safetensors"]
    assert server.files("me/model")["README.md"] == b"# mine"
    assert_same(second, Linear.from_pretrained("me/model"))
    again, metadata = Linear.from_pretrained("me/model", revision=old, return_metadata=True)
    assert metadata == {"cc": 0.5}
    assert_same(first, again)


def test_a_private_model_needs_the_token(server):
    model = Linear(12)
    model.push_to_hub("me/secret", private=True, token=server.token)
    assert server.private == {"me/secret"}
    with pytest.raises(FileNotFoundError, match="no model 'me/secret' on the Hub, or it is private"):
        Linear.from_pretrained("me/secret")
    assert_same(model, Linear.from_pretrained("me/secret", token=server.token))
    with pytest.raises(OSError, match="401"):
        model.push_to_hub("me/other")


def test_a_name_without_a_user_is_one_of_ones_own(server):
    assert Linear(12).push_to_hub("model", token=server.token) == f"{server.url}/me/model"


def test_an_existing_folder_wins_over_the_hub(server, tmp_path):
    Linear(12, out_neurons=2).push_to_hub("me/model", token=server.token)
    here = Linear(12, out_neurons=3)
    here.save_pretrained(tmp_path / "me" / "model")
    n_requests = len(server.requests)
    assert_same(here, Linear.from_pretrained("me/model"))
    assert len(server.requests) == n_requests


def test_downloads_are_kept_and_serve_without_a_network(server, tmp_path, monkeypatch):
    model = Linear(12)
    model.push_to_hub("me/model", token=server.token)
    folder = hub.download_pretrained("me/model", cache_dir=tmp_path / "mine")
    assert folder.is_relative_to(tmp_path / "mine")
    assert (folder / hub.WEIGHTS_FILE).is_file()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_same(model, Linear.from_pretrained("me/model", cache_dir=tmp_path / "mine"))
    with pytest.raises(FileNotFoundError, match="the Hub cannot be reached, and 'me/model' was not downloaded before"):
        Linear.from_pretrained("me/model", cache_dir=tmp_path / "other")


def test_only_the_files_of_a_model_travel(server, tmp_path):
    folder = Linear(12).save_pretrained(tmp_path / "model")
    (folder / "recording.mat").write_bytes(b"large")
    hub.upload_pretrained(folder, "me/model", token=server.token)
    assert "recording.mat" not in server.files("me/model")
    server.commit("me/model", server.files("me/model") | {"pickled.bin": b"dangerous"})
    assert not (hub.download_pretrained("me/model") / "pickled.bin").exists()


# --- refusals --------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_named(server, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder 'me/model', and there is no model 'me/model' on the Hub"):
        Linear.from_pretrained("me/model")
    Linear(12).push_to_hub("me/model", token=server.token)
    with pytest.raises(FileNotFoundError, match="has no revision 'v9'"):
        Linear.from_pretrained("me/model", revision="v9")
    server.commit("me/model", {"config.json": server.files("me/model")["config.json"], "weights.bin": b""})
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors is missing in 'me/model' on the Hub"):
        Linear.from_pretrained("me/model")
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        hub.upload_pretrained(tmp_path, "me/model", token=server.token)


@pytest.mark.parametrize("path", ["model", "runs/2026/model", "./me/model", "/me/model", "../model", "me/.model"])
def test_what_cannot_be_on_the_hub_is_not_looked_for(server, path):
    with pytest.raises(FileNotFoundError, match=f"no folder '{path}'|no folder 'me/model'"):
        Linear.from_pretrained(path)
    assert not server.requests


def test_a_model_that_cannot_be_saved_is_not_uploaded(server):
    model = Linear(12)
    model.readout.activation = torch.nn.ReLU()
    with pytest.raises(ValueError, match="make another structure"):
        model.push_to_hub("me/model", token=server.token)
    assert not server.requests


def test_a_missing_package_is_named(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"no folder 'me/model'; if you mean .* pip install 'deepSTRF\[hub\]'"):
        Linear.from_pretrained("me/model")
    with pytest.raises(ImportError, match=r"pip install 'deepSTRF\[hub\]'"):
        Linear(12).push_to_hub("me/model")
    assert huggingface_hub is not None
