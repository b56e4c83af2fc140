"""Share fixtures between all pure tests."""

from hypothesis import settings

# How long an example takes is for benchmarks to say: here another process may have the processor.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
