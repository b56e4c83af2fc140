"""Verify a deployed host, read-only: `pytest tests/host --inventory inventory/….py`."""
