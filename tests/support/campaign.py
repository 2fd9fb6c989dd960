"""How many worlds, kills and races there are: few every day, many in a campaign."""

from hypothesis import HealthCheck, settings

CAMPAIGN = settings.get_current_profile_name() == "campaign"
KILLS = 24 if CAMPAIGN else 5
RACES = 20 if CAMPAIGN else 3


def worlds_each(quick: int) -> settings:
    """`quick` worlds, the same in each everyday run, or a thousand new ones in a campaign."""
    return settings(
        max_examples=1_000 if CAMPAIGN else quick,
        deadline=None,
        derandomize=not CAMPAIGN,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
