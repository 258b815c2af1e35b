"""Rooms of smaller things that 0.1.0 kept here; most modules re-export from a better room."""
