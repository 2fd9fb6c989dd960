"""What every request of a sandbox's server passes on its way: the faults there are, and the journal."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from reconciler.sandbox.faults import Dropped, Faults, failed, throttled
from reconciler.sandbox.gateway.http import Answer, Incoming
from reconciler.sandbox.journal import Journal

Handle = Callable[[Incoming], Awaitable[Answer]]


def watched(server: str, handle: Handle, journal: Journal, faults: Faults) -> Handle:
    """`handle` with the faults that its requests meet, each request noted in the journal."""

    async def handle_watched(request: Incoming) -> Answer:
        began = time.perf_counter()
        met = faults.take(server, request)
        names = "+".join(fault.kind for fault in met)
        for fault in met:
            if fault.kind == "latency":
                await asyncio.sleep(fault.seconds)
        kinds = {fault.kind: fault for fault in met}
        answer: Answer | None = None
        try:
            if "throttle" in kinds:
                answer = throttled(server, request)
            elif "error" in kinds:
                answer = failed(server, request, kinds["error"].status)
            else:
                answer = await handle(request)
            if "drop" in kinds:
                answer = None
                raise Dropped
            return answer
        finally:
            journal.add(server, request, answer, (time.perf_counter() - began) * 1000, names)

    return handle_watched
