"""Hypothesis for all tests: no wall-clock deadline for one example, since a busy machine is not a fault."""

from hypothesis import settings

settings.register_profile("steady", deadline=None)
if settings.get_current_profile_name() != "campaign":
    settings.load_profile("steady")
