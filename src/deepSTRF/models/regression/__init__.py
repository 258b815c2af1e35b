"""Linear models in closed form, from sums over the bins of a recording."""
