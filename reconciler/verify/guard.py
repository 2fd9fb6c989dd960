"""The guard of verify: it reads what it likes, and writes to temporary indices alone."""

import re

from reconciler.model.kind import Grants
from reconciler.model.request import Request, Service, writes
from reconciler.runner import WriteRefused

PREFIX = "reconciler-verify-"
"""What the names of all temporary indices begin with."""

TEMPORARY = re.compile(rf"{PREFIX}[a-z0-9][a-z0-9_-]*-[0-9a-f]{{12}}")
"""The name of one temporary index. It can not mean several."""

NEEDED = Grants(
    iam=("es:ESHttpGet", "es:ESHttpPost", "es:ESHttpPut", "es:ESHttpDelete"),
    opensearch=(
        "indices:admin/create", "indices:admin/get", "indices:admin/delete", "indices:admin/mapping/put",
        "indices:data/write/bulk", "indices:data/write/bulk[s]", "indices:data/write/index", "indices:data/read/search",
    ),
)  # fmt: skip
"""What it takes to make, fill, search and delete temporary indices."""

_OPERATIONS = frozenset({"PUT /{index}", "POST /{index}/_bulk", "DELETE /{index}"})


def proving(request: Request) -> None:
    """WriteRefused for every writing request but those that make, fill and delete one temporary index."""
    if not writes(request):
        return
    index = request.parameters.get("index")
    known = request.service is Service.OPENSEARCH and request.operation in _OPERATIONS and request.identity is None
    if not (known and isinstance(index, str) and TEMPORARY.fullmatch(index)):
        raise WriteRefused(f"{request.label} writes, and verify writes to its temporary indices only")
