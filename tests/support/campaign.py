"""How many generated worlds a property tries."""

from hypothesis import HealthCheck, settings

CAMPAIGN = settings.get_current_profile_name() == "campaign"


def worlds_each(quick: int) -> settings:
    """`quick` worlds in everyday runs, a thousand in a campaign."""
    return settings(
        max_examples=1_000 if CAMPAIGN else quick,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
