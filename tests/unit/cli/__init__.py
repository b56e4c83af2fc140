"""Tests of the command line's output."""
