"""The action and the ready workflows, run as a runner does, against the sandbox and a GitHub of this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.sandbox.bed import Bed
from tests.sandbox.test_watch import MANIFEST, set_threshold
from tests.support.actions import ROOT, Job, Runner, environment
from tests.support.github import GitHub, github

TOKEN = "ghs_nobodys4711token"
WORKFLOWS = ROOT / "examples" / "ci" / "github"


@pytest.fixture
def hub() -> Iterator[GitHub]:
    with github(TOKEN) as one:
        yield one


def runner(bed: Bed, hub: GitHub, folder: Path, event: object = {}) -> Runner:
    """A runner of a repository with one manifest."""
    repository, scratch = folder / "repository", folder / "jobs"
    (repository / "manifests").mkdir(parents=True, exist_ok=True)
    (repository / "manifests" / "watched.yaml").write_text(MANIFEST)
    scratch.mkdir(exist_ok=True)
    told = folder / "event.json"
    told.write_text(json.dumps(event))
    return Runner(repository, environment(bed.env, hub.url, TOKEN), told, scratch)


def done(job: Job | None) -> Job:
    assert job is not None
    assert TOKEN not in job.printed + job.summary
    assert "Traceback" not in job.printed
    return job


def applied(on: Runner) -> Job:
    """The two jobs of the workflow that applies."""
    workflow = WORKFLOWS / "apply.yml"
    planned = done(on.run(workflow, "plan"))
    assert (planned.failed, planned.outputs) == ("", {"changes": "true"}), planned.printed
    return done(on.run(workflow, "apply", {"plan": planned}))


def test_a_plan_is_one_comment_that_is_edited(aws: Bed, hub: GitHub, tmp_path: Path) -> None:
    on = runner(aws, hub, tmp_path, {"pull_request": {"number": 7}})
    hub.comments[7] = [{"id": number, "body": f"somebody's {number}"} for number in range(150)]
    first = done(on.run(WORKFLOWS / "plan.yml", "plan"))
    assert (first.failed, "iam_roles.watched" in first.summary) == ("", True), first.printed
    (comment,) = hub.comments[7][150:]
    assert "<!-- reconciler plan: manifests/ -->" in comment["body"]
    assert "iam_roles.watched" in comment["body"]

    (on.repository / "manifests" / "watched.yaml").write_text(MANIFEST.replace("as applied", "as edited"))
    hub.troubles = [502]  # which passes
    assert done(on.run(WORKFLOWS / "plan.yml", "plan")).failed == ""
    assert len(hub.comments[7]) == 151
    assert [one for one in hub.requests if not one.startswith("GET")] == [
        "POST issues/7/comments", *2 * [f"PATCH issues/comments/{comment['id']}"],
    ]  # fmt: skip

    # A fork's token may read only: the plan is in the summary, and all is well.
    hub.troubles = [403]
    forked = done(on.run(WORKFLOWS / "plan.yml", "plan"))
    assert (forked.failed, "::warning::" in forked.printed, "iam_roles.watched" in forked.summary) == ("", True, True)

    (on.repository / "manifests" / "watched.yaml").write_text("manifest: watched\nnothing: of this\n")
    broken = done(on.run(WORKFLOWS / "plan.yml", "plan"))
    assert (broken.failed, "::error " in broken.printed) == ("run", True), broken.printed
    assert "no such key" in hub.comments[7][150]["body"]


def test_drift_is_an_issue_until_nothing_drifts(aws: Bed, hub: GitHub, tmp_path: Path) -> None:
    on = runner(aws, hub, tmp_path)
    assert applied(on).failed == ""
    assert aws.aws("iam").get_role(RoleName="watched")["Role"]["Description"] == "as applied"
    workflow = WORKFLOWS / "drift.yml"
    assert done(on.run(workflow, "drift")).failed == ""
    assert hub.issues == []

    set_threshold(aws, 80)
    for _ in range(2):
        drifted = done(on.run(workflow, "drift"))
        assert (drifted.failed, "cluster_settings.ml" in drifted.summary) == ("", True), drifted.printed
    (issue,) = hub.issues
    assert (issue["state"], issue["title"], issue["labels"]) == ("open", "Drift: manifests/", ["reconciler-drift"])
    assert "cluster_settings.ml" in issue["body"]
    aws.aws("iam").update_role(RoleName="watched", Description="by hand", MaxSessionDuration=3600)
    assert done(on.run(workflow, "drift")).failed == ""
    assert "iam_roles.watched" in issue["body"]

    # A look that is stopped says nothing of it.
    (on.repository / "manifests" / "watched.yaml").write_text("nothing: of this\n")
    assert done(on.run(workflow, "drift")).failed == "run"
    assert issue["state"] == "open"

    (on.repository / "manifests" / "watched.yaml").write_text(MANIFEST)
    assert applied(on).failed == ""
    for _ in range(2):
        assert done(on.run(workflow, "drift")).failed == ""
    assert (len(hub.issues), issue["state"], issue["state_reason"]) == (1, "closed", "completed")
    (comment,) = hub.comments[issue["number"]]
    assert comment["body"].endswith("https://github.com/owner/infrastructure/actions/runs/4711")
    assert TOKEN not in json.dumps([hub.issues, hub.comments])


def test_inputs_are_no_scripts(aws: Bed, hub: GitHub, tmp_path: Path) -> None:
    on = runner(aws, hub, tmp_path)
    workflow = tmp_path / "odd.yml"
    step = {"uses": "OWNER/reconciler@v1", "with": {"command": "drift", "paths": '"$(touch made); touch made"'}}
    workflow.write_text(yaml.safe_dump({"jobs": {"drift": {"steps": [step]}}}))
    odd = done(on.run(workflow, "drift"))
    assert (odd.failed, "file-not-found" in odd.printed) == ("run", True), odd.printed
    assert list(on.scratch.rglob("made")) == []


def test_other_schedules(aws: Bed, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "watched.yaml").write_text(MANIFEST)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**aws.env, "PATH": programs, "MANIFESTS": str(manifests), "LOCK": str(tmp_path / "lock")}

    def ran(script: str) -> tuple[int, str]:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    cron = str(ROOT / "examples" / "ci" / "cron" / "drift.sh")
    jobs = yaml.safe_load((ROOT / "examples" / "ci" / "gitlab" / ".gitlab-ci.yml").read_text("utf-8"))
    for job in ("plan", "apply", "drift"):
        code, printed = ran("\n".join(jobs[job]["script"]))
        assert code == 0, printed
        assert (tmp_path / jobs[job]["artifacts"]["reports"]["junit"]).read_text().startswith("<?xml")
    assert ran(cron) == (0, "")
    set_threshold(aws, 80)
    code, printed = ran(cron)
    assert (code, printed.splitlines()[0]) == (2, "drift: something is not as it was applied")
    assert "cluster_settings.ml" in printed
    assert ran("\n".join(jobs["drift"]["script"]))[0] == 2
    code, printed = ran(f'exec 8>"$LOCK"; flock 8; {cron}')
    assert (code, "has not ended yet" in printed) == (1, True), printed
