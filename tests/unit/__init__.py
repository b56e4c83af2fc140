"""Tests without a host, a server or a network."""
