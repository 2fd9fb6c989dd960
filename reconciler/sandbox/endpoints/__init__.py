"""The models under their public host names. Emulated, one module for each provider.

They answer in the services' shapes, check what the services check (signature, permission, key, form of the request),
and say back what they were asked, so that an answer proves that the question arrived. Tests steer them: see `Models`.
"""

import asyncio
import re
from collections.abc import Sequence

from reconciler.sandbox.endpoints.bedrock import Bedrock
from reconciler.sandbox.endpoints.cohere import Cohere
from reconciler.sandbox.endpoints.deepseek import DeepSeek
from reconciler.sandbox.endpoints.openai import OpenAi
from reconciler.sandbox.endpoints.provider import Provider
from reconciler.sandbox.endpoints.sagemaker import SageMaker
from reconciler.sandbox.endpoints.steering import SLOW, Due, Steering
from reconciler.sandbox.gateway.account import Account
from reconciler.sandbox.gateway.http import Answer, Incoming, json_answer


class Models:
    """Answers all requests to the models' hosts; `api_key` is what those that want a key take."""

    def __init__(self, account: Account, api_key: str) -> None:
        self._providers: Sequence[Provider] = (
            Bedrock(account),
            SageMaker(account),
            DeepSeek(api_key),
            OpenAi(api_key),
            Cohere(api_key),
        )
        self._steering = Steering()

    def has_host(self, host: str) -> bool:
        """Whether `host` is a name that a model is served under."""
        return self._find(host) is not None

    def steer(self, host: str, answer: str, *, times: int | None = 1, seconds: float = 0.0) -> None:
        """Let the next `times` answers of `host` (None: all) be of a kind, or `slow`: right, but `seconds` later.

        Raises ValueError, saying what there is, for a host or a kind that is not known.
        """
        found = self._find(host)
        if found is None:
            raise ValueError(f"no model is served at {host!r}")
        kinds = (SLOW, *found[0].troubles)
        if answer not in kinds:
            raise ValueError(f"{host} has no answer {answer!r}, only {', '.join(sorted(kinds))}")
        self._steering.add(host, Due(answer, seconds), times)

    def reset(self) -> None:
        """Let all answers be right again."""
        self._steering.clear()

    async def handle(self, request: Incoming) -> Answer:
        """Answer one request by its `host` header."""
        host = request.headers.get("host", "").partition(":")[0]
        found = self._find(host)
        if found is None:
            return json_answer(404, {"message": f"no model is served at {host}"})
        provider, match = found
        due = self._steering.take(host)
        if due is not None and due.answer != SLOW:
            return provider.troubles[due.answer]
        if due is not None:
            await asyncio.sleep(due.seconds)
        return provider.answer(request, match)

    def _find(self, host: str) -> tuple[Provider, re.Match[str]] | None:
        for provider in self._providers:
            if match := provider.hosts.fullmatch(host):
                return provider, match
        return None
