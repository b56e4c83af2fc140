"""Tests of the tools of the tests on staging hosts."""
