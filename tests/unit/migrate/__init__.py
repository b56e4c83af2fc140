"""Tests of the migration of .env files."""
