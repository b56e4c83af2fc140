"""Tests of the check of repositories."""
