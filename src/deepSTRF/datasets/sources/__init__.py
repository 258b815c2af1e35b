"""A user's own recording, in the form that a laboratory has it, becomes a data set."""
