"""Public check suites: run the contracts of deepSTRF on your own data sets, models and metrics.

>>> from deepSTRF.testing import check_model
>>> from deepSTRF.models.audio import Linear
>>> check_model(lambda: Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3))
"""

from deepSTRF.testing.dataset import check_dataset
from deepSTRF.testing.metric import check_metric
from deepSTRF.testing.model import check_model

__all__ = ["check_dataset", "check_metric", "check_model"]
