"""Unit tests of Infisical's own settings."""
