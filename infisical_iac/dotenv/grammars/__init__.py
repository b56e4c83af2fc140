"""The grammars, one parser a module."""
