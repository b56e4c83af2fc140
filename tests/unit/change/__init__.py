"""Tests of changes of version, rollbacks and rotations of keys."""
