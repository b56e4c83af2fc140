"""Tests of the questions of a first deploy."""
