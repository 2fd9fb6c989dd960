"""Measuring the SDKs on this machine, for the bound."""

import json
import statistics
from pathlib import Path

from bench.bound import Sdk
from bench.client import ROOT, Services, environment
from bench.command import run
from bench.sdk import THOUSAND

_STARTS = 5


def measured(services: Services, folder: Path) -> Sdk:
    """What the SDKs take here and now."""
    services.reset(latency=0.0, limits=False, other_roles=THOUSAND, other_connectors=THOUSAND)
    where = services.where
    asked = ["-m", "bench.sdk", "calls", where.aws, where.domain]
    ran = run(ROOT, folder, asked, environment())
    if ran.code:
        raise RuntimeError(f"the SDKs could not be measured:\n{ran.err}")
    starting = ["-m", "bench.sdk", "start", where.aws, where.domain]
    starts = [run(ROOT, folder, starting, environment()).wall for _ in range(_STARTS)]
    return Sdk(statistics.median(starts), json.loads(ran.out))
