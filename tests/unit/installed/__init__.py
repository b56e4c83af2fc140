"""The tool as it is installed: from its wheel, in an environment without this checkout."""
