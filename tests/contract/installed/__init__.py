"""Test the tool installed from its wheel, in an environment without this checkout."""
