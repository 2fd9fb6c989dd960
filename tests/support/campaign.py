"""How many generated worlds a property tries."""

from hypothesis import HealthCheck, settings

CAMPAIGN = settings.get_current_profile_name() == "campaign"


def worlds_each(quick: int) -> settings:
    """`quick` worlds, the same in each everyday run, or a thousand new ones in a campaign."""
    return settings(
        max_examples=1_000 if CAMPAIGN else quick,
        deadline=None,
        derandomize=not CAMPAIGN,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
