"""Tests of the hosts of production and of replaced servers."""
