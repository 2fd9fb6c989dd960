"""What the plugin counts since it started, for `_plugins/_ml/stats`."""

from collections import Counter, defaultdict

from reconciler.sandbox.mlcommons.values import Document


class Counters:
    """Requests and failures by action, over all and by model."""

    def __init__(self) -> None:
        self.requests = 0
        self.failures = 0
        self.running = 0
        self._algorithms: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._models: defaultdict[str, defaultdict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))

    def request(self, action: str, model_id: str | None = None) -> None:
        """Count one request of an action (`register`, `deploy`, `undeploy`, `predict`)."""
        self.requests += 1
        self._algorithms[action]["ml_action_request_count"] += 1
        if model_id is not None:
            self._models[model_id][action]["ml_action_request_count"] += 1

    def failure(self, action: str) -> None:
        """Count one failed action."""
        self.failures += 1
        self._algorithms[action]["ml_action_failure_count"] += 1

    def algorithms(self) -> Document:
        """The counts of remote models by action."""
        if not self._algorithms:
            return {}
        return {"remote": {action: dict(counts) for action, counts in self._algorithms.items()}}

    def models(self) -> Document:
        """The counts by model and action."""
        return {
            model_id: {action: dict(counts) for action, counts in actions.items()}
            for model_id, actions in self._models.items()
        }
