"""Tests of the client of Infisical's API."""
