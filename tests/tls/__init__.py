"""Scan the TLS of an instance from outside by testssl.sh."""
