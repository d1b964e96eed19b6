"""Settings that all tests share."""

from hypothesis import HealthCheck, settings

# CI machines are slow and busy: time limits on single examples would only fail at random.
settings.register_profile("halmd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("halmd")
