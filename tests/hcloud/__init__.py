"""Hetzner Cloud's API, played on loopback, and the commands that work with it."""
