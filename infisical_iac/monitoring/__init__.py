"""The deployment's condition as rows, and drift for machines."""
