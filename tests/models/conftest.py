"""Lets the tests in the folders below import the modules beside this file."""
