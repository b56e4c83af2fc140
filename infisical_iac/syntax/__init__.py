"""The syntax of the languages that services are written in."""
