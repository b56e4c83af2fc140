"""Tests of settings, errors, locks and runs."""
