"""Tests of the stand-in against recorded answers of a real server."""
