"""Deliver a service's credentials to where the service runs."""
