"""Tests of the project file, its plans and the service credentials."""
