"""The step of the action: runs the reconciler, and tells GitHub what came of it.

Reads the inputs of `action.yml` from the environment as `INPUT_*`, and what a runner gives
(https://docs.github.com/actions/reference/workflows-and-actions/variables). Comments and issues are written by GitHub's
REST API (https://docs.github.com/rest/issues).
"""

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IN_SYNC, ERROR, CHANGES, PENDING, INCOMPLETE = range(5)
"""Exit codes; `plan --detailed-exitcode` and `drift` have the first three in common."""

LABEL = "reconciler-drift"

_PAGE = 100
_PAGES = 50  # as many are looked through
_TRIES = 4
_LONGEST = 30.0  # seconds between two tries
_MOST = 65_000  # characters that GitHub takes, and some to spare


@dataclass(frozen=True, slots=True)
class Job:
    """What the step is to do, and where it runs."""

    command: str
    paths: Sequence[str]
    args: Sequence[str]
    plan_file: str
    comments: bool
    issues: bool
    fails_on_drift: bool
    folder: Path
    environment: Mapping[str, str]

    @property
    def about(self) -> str:
        """What tells this plan, or this drift, from others of the repository."""
        return " ".join(self.paths)

    @property
    def mark(self) -> str:
        """What is in the text of our comment or issue, and not to be seen there."""
        return f"<!-- reconciler {self.command}: {self.about.replace('--', '- -')} -->"

    @property
    def report(self) -> Path:
        """The report as Markdown."""
        return self.folder / f"reconciler-{self.command}.md"

    @property
    def link(self) -> str:
        """Where the run is to be seen, "" where there is none."""
        server, repository, run = (
            self.environment.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
        )
        return f"{server}/{repository}/actions/runs/{run}" if server and repository and run else ""


def job(environment: Mapping[str, str]) -> Job:
    """The inputs. SystemExit with what is wrong with them."""
    command = environment["INPUT_COMMAND"]
    if command not in ("plan", "apply", "drift"):
        raise SystemExit(f"::error::the action has no command {command}: there are plan, apply and drift")
    paths = shlex.split(environment["INPUT_PATHS"])
    if not paths:
        raise SystemExit("::error::the action needs paths: name the manifest's files or folders")

    def is_on(name: str) -> bool:
        return environment.get(f"INPUT_{name}", "true").casefold() == "true"

    return Job(
        command,
        paths,
        shlex.split(environment.get("INPUT_ARGS", "")),
        environment.get("INPUT_PLAN_FILE", ""),
        is_on("COMMENT"),
        is_on("ISSUE"),
        is_on("FAIL_ON_DRIFT"),
        Path(environment.get("RUNNER_TEMP") or "."),
        environment,
    )


def arguments(one: Job) -> list[str]:
    """The command line behind `reconciler`."""
    summary = one.folder / f"reconciler-{one.command}-summary.md"
    reports = ["--format", "github", "--report", f"markdown={one.report}", "--report", f"step-summary={summary}"]
    own = {"plan": ["--detailed-exitcode"], "apply": ["--yes"]}.get(one.command, [])
    saved = ["--out", one.plan_file] if one.command == "plan" and one.plan_file else []
    return [one.command, *one.paths, *own, *saved, *reports, *one.args]


def run(one: Job) -> int:
    """Run the command. Its report goes to the summary of the step, its exit code and what it found to the outputs."""
    hidden = {name: value for name, value in one.environment.items() if name != "INPUT_TOKEN"}
    code = subprocess.run([sys.executable, "-m", "reconciler", *arguments(one)], env=hidden, check=False).returncode
    summary = one.folder / f"reconciler-{one.command}-summary.md"
    if summary.exists() and (page := one.environment.get("GITHUB_STEP_SUMMARY")):
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(summary.read_text("utf-8"))
    if outputs := one.environment.get("GITHUB_OUTPUT"):
        changes = str(code == CHANGES).lower()
        with Path(outputs).open("a", encoding="utf-8") as file:
            file.write(f"exit-code={code}\nchanges={changes}\nreport={one.report}\n")
    return code


def tell(one: Job, code: int) -> None:
    """Write the comment or the issue that goes with what was found."""
    token, name = one.environment.get("INPUT_TOKEN", ""), one.environment.get("GITHUB_REPOSITORY", "")
    number = _pull_request(one.environment)
    comments = one.command == "plan" and one.comments and number is not None
    issues = one.command == "drift" and one.issues and code in (IN_SYNC, CHANGES, PENDING)
    if not token or not name or not (comments or issues) or not one.report.exists():
        return
    repository = Repository(one.environment.get("GITHUB_API_URL", "https://api.github.com"), name, token)
    text = f"{one.mark}\n{one.report.read_text('utf-8')}"
    try:
        if comments and number is not None:
            repository.comment_once(number, one.mark, text)
        elif code == CHANGES:
            repository.open_once(LABEL, one.mark, f"Drift: {one.about}", text)
        else:
            repository.close(LABEL, one.mark, f"Nothing drifts any more. {one.link}".rstrip())
    except NotAllowed as error:
        sys.stdout.write(f"::warning::{error}; the report is in the summary of the run\n")
    except Unanswered as error:
        raise SystemExit(f"::error::GitHub was not told: {error}") from None


def ended(one: Job, code: int) -> int:
    """The exit code of the step: a plan with changes is well, and drift where that was asked for."""
    if code == CHANGES and (one.command == "plan" or not one.fails_on_drift):
        return 0
    return code


def _pull_request(environment: Mapping[str, str]) -> int | None:
    path = environment.get("GITHUB_EVENT_PATH")
    event = json.loads(Path(path).read_text("utf-8")) if path else {}
    number = event.get("pull_request", {}).get("number")
    return number if isinstance(number, int) else None


class NotAllowed(Exception):
    """The token may not do that: it is one of a fork, or the workflow does not ask for the permission."""


class Unanswered(Exception):
    """GitHub refused, or did not answer after some tries."""


class _Passing(Exception):
    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Repository:
    """A repository, asked with a token that is in nothing that is printed. All raise NotAllowed and Unanswered."""

    def __init__(self, api: str, name: str, token: str) -> None:
        """`api` is where GitHub's REST API is, `name` is `owner/repository`."""
        self._root = f"{api.rstrip('/')}/repos/{name}"
        self._token = token

    def comment_once(self, number: int, mark: str, text: str) -> None:
        """Have one comment with the mark on an issue or a pull request: edit it where it is, else make it."""

        def attempt() -> None:
            for one in self._pages(f"issues/{number}/comments?"):
                if mark in str(one.get("body")):
                    self._send("PATCH", f"issues/comments/{one['id']}", {"body": _cut(text)})
                    return
            self._send("POST", f"issues/{number}/comments", {"body": _cut(text)})

        self._patiently(attempt)

    def open_once(self, label: str, mark: str, title: str, text: str) -> None:
        """Have one open issue with the label and the mark: edit it where it is, else open it."""

        def attempt() -> None:
            body = {"title": title, "body": _cut(text)}
            if (one := self._issue(label, mark)) is not None:
                self._send("PATCH", f"issues/{one}", body)
            else:
                self._send("POST", "issues", {**body, "labels": [label]})

        self._patiently(attempt)

    def close(self, label: str, mark: str, text: str) -> None:
        """Close the open issue with the label and the mark, if there is one, and say why."""

        def attempt() -> None:
            one = self._issue(label, mark)
            if one is not None:
                self._send("PATCH", f"issues/{one}", {"state": "closed", "state_reason": "completed"})
                self._send("POST", f"issues/{one}/comments", {"body": text})

        self._patiently(attempt)

    def _issue(self, label: str, mark: str) -> int | None:
        found = self._pages(f"issues?state=open&labels={label}&")
        return next((int(one["number"]) for one in found if mark in str(one.get("body"))), None)

    def _pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        for page in range(1, _PAGES + 1):
            found = self._send("GET", f"{path}per_page={_PAGE}&page={page}")
            yield from found
            if len(found) < _PAGE:
                return

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self._token}",
            "User-Agent": "reconciler",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._root}/{path}", data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = f"{method} {path.partition('?')[0]}: status {error.code}"
                if error.code == 429 or error.code >= 500 or "retry-after" in error.headers:
                    raise _Passing(said, float(error.headers.get("retry-after") or 1)) from None
                if error.code in (401, 403, 404):
                    raise NotAllowed(said) from None
                raise Unanswered(said) from None
        except (OSError, ValueError) as error:
            raise _Passing(f"{method} {path.partition('?')[0]}: {type(error).__name__}", 1.0) from None

    def _patiently(self, attempt: Callable[[], None]) -> None:
        """Look and write again from the beginning where GitHub is not well: what was written is found then."""
        for number in range(1, _TRIES + 1):
            try:
                attempt()
                return
            except _Passing as passing:
                if number == _TRIES:
                    raise Unanswered(str(passing)) from None
                time.sleep(min(_LONGEST, passing.seconds * number))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[:_MOST]}\n\n(cut here)"


if __name__ == "__main__":
    this = job(os.environ)
    found = run(this)
    sys.stdout.flush()
    tell(this, found)
    sys.exit(ended(this, found))
