"""Tests of status, drift and alerts."""
