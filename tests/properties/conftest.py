"""The profile of the large numbers: `pytest --hypothesis-profile=campaign tests/properties`."""

from hypothesis import HealthCheck, settings

settings.register_profile("campaign", max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
