"""Open the address of an instance in Chromium, as a person would."""
