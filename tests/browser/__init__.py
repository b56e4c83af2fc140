"""The address of an instance, opened in Chromium as a person would open it."""
