"""Tests of the staging hosts, and of the tools that cause faults on them."""
