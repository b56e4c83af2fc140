"""Tests of backups, restores and recovery kits."""
