"""Tests of the server commands with a fake API of Hetzner Cloud on loopback."""
