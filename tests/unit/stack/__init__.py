"""Tests of the stack, its ingress and its access log."""
