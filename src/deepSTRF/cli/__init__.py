"""The command ``deepstrf``: parse, call, print."""
