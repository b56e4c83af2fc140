"""Decide what of the host is reachable from outside, once for the host and for the cloud."""
