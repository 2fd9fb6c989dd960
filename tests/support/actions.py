"""Runs the jobs of GitHub workflows, and the steps of a composite action in them, as GitHub's runner does.

https://docs.github.com/actions/reference/workflows-and-actions. Of actions of others there are stand-ins: checking out
copies a folder, artifacts are copied, and what installs Python or signs in does nothing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
OURS = "OWNER/reconciler@"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_COMPARED = re.compile(r"([\w.-]+)\s*==\s*'([^']*)'")
_PATH = re.compile(r"[\w.-]+")

Context = Mapping[str, Any]


@dataclass
class Job:
    """A job that ended: its outputs, what its steps printed, its summary, and the step that failed, if one did."""

    outputs: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    summary: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Runner:
    """A machine that jobs run on: what is checked out, its environment, what happened, and where artifacts are kept."""

    repository: Path
    environment: Mapping[str, str]
    event: Path
    scratch: Path

    def run(self, workflow: Path, name: str, needs: Mapping[str, Job] = {}) -> Job | None:
        """Run one job; None where its condition does not hold."""
        told = yaml.safe_load(workflow.read_text("utf-8"))["jobs"][name]
        context: dict[str, Any] = {
            "needs": {one: {"outputs": job.outputs} for one, job in needs.items()},
            "github": {"token": self.environment["GITHUB_TOKEN"], "ref": "refs/heads/main"},
            "vars": {"AWS_REGION": "us-east-1", "RECONCILER_PLAN_ROLE": "", "RECONCILER_APPLY_ROLE": "",
                     "RECONCILER_DRIFT_ROLE": ""},
            "steps": {},
        }  # fmt: skip
        if "if" in told and value(told["if"], context) != "true":
            return None
        workspace = self.scratch / f"{workflow.stem}-{name}-{len(list(self.scratch.iterdir()))}"
        workspace.mkdir()
        job = Job()
        self._steps(told["steps"], context, workspace, job)
        job.outputs = {key: filled(text, context) for key, text in told.get("outputs", {}).items()}
        return job

    def _steps(self, steps: list[Any], context: dict[str, Any], workspace: Path, job: Job) -> None:
        for step in steps:
            given = {key: filled(str(one), context) for key, one in step.get("with", {}).items()}
            if "run" in step:
                outputs = self._shell(step, context, workspace, job)
            elif step["uses"].startswith(OURS):
                outputs = self._ours(given, context, workspace, job)
            else:
                outputs = self._stand_in(step["uses"].partition("@")[0], given, workspace)
            if "id" in step:
                context["steps"][step["id"]] = {"outputs": outputs}
            if job.failed:
                return

    def _ours(self, given: Mapping[str, str], outer: Context, workspace: Path, job: Job) -> dict[str, str]:
        """The action of this repository. What is installed already is given to it: installing takes a registry."""
        action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
        unknown = given.keys() - action["inputs"].keys()
        missing = [name for name, one in action["inputs"].items() if one.get("required") and name not in given]
        assert not unknown, unknown
        assert not missing, missing
        defaults = {name: filled(str(one.get("default", "")), outer) for name, one in action["inputs"].items()}
        inputs = {**defaults, "reconciler": str(Path(sys.executable).parent), **given}
        context: dict[str, Any] = {"inputs": inputs, "github": outer["github"], "steps": {}}
        self._steps(action["runs"]["steps"], context, workspace, job)
        return {name: filled(one["value"], context) for name, one in action["outputs"].items()}

    def _shell(self, step: Mapping[str, Any], context: Context, workspace: Path, job: Job) -> dict[str, str]:
        assert step["shell"] == "bash"
        files = {name: workspace.parent / f"{workspace.name}.{name}" for name in ("OUTPUT", "STEP_SUMMARY")}
        for one in files.values():
            one.write_text("", "utf-8")
        temporary = workspace.parent / f"{workspace.name}.temp"
        temporary.mkdir(exist_ok=True)
        script = temporary / "step.sh"
        script.write_text(filled(step["run"], context), "utf-8")
        environment = {
            **self.environment,
            **{f"GITHUB_{name}": str(path) for name, path in files.items()},
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_EVENT_PATH": str(self.event),
            "GITHUB_WORKSPACE": str(workspace),
            "RUNNER_TEMP": str(temporary),
            **{name: filled(str(one), context) for name, one in step.get("env", {}).items()},
        }
        del environment["GITHUB_TOKEN"]  # no step is given it without asking
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=workspace, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False,
        )  # fmt: skip
        job.printed += ran.stdout
        job.summary += files["STEP_SUMMARY"].read_text("utf-8")
        job.failed = step.get("id", "a step") if ran.returncode else ""
        return dict(line.split("=", 1) for line in files["OUTPUT"].read_text("utf-8").splitlines())

    def _stand_in(self, action: str, given: Mapping[str, str], workspace: Path) -> dict[str, str]:
        artifacts = self.scratch / "artifacts"
        match action:
            case "actions/checkout":
                shutil.copytree(self.repository, workspace, dirs_exist_ok=True)
            case "actions/upload-artifact":
                (artifacts / given["name"]).mkdir(parents=True, exist_ok=True)
                shutil.copy(workspace / given["path"], artifacts / given["name"])
            case "actions/download-artifact":
                shutil.copytree(artifacts / given["name"], workspace, dirs_exist_ok=True)
            case "actions/setup-python" | "aws-actions/configure-aws-credentials":
                pass
            case _:
                raise AssertionError(f"there is no stand-in for {action}")
        return {}


def environment(bed: Mapping[str, str], api: str, token: str) -> dict[str, str]:
    """What a runner's environment is, with what the manifests need."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        **bed,
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": api,
        "GITHUB_REPOSITORY": "owner/infrastructure",
        "GITHUB_RUN_ID": "4711",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_TOKEN": token,
    }


def filled(text: str, context: Context) -> str:
    """The text with the values of its expressions."""
    return _EXPRESSION.sub(lambda found: value(found[1], context), text)


def value(expression: str, context: Context) -> str:
    """The value of an expression: a path, or a comparison of one. AssertionError for any other there may be."""
    if compared := _COMPARED.fullmatch(expression):
        return str(value(compared[1], context) == compared[2]).lower()
    assert _PATH.fullmatch(expression), f"what is {expression}?"
    found: Any = context
    for part in expression.split("."):
        found = found.get(part, "") if isinstance(found, Mapping) else ""
    return str(found)
