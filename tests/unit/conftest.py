"""Configure Hypothesis for all unit tests."""

from hypothesis import settings

# No deadline for an example: another process may use the processor, and benchmarks measure times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
