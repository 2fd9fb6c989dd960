"""Wrong chains: each breaks one thing of a right one, and must fail at the layer and in the words that AWS has for it.

The cases are data, in `wrong_chains/`; `right.toml` there has the chains that are right. A case is taken step by step:
every step before the one it names must succeed.
"""

import copy
import json
import re
import ssl
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from reconciler import diagnosis
from reconciler.model.request import Answer, Request, Service, ServiceFailure
from reconciler.redaction import Redaction
from reconciler.sandbox import lifecycle
from reconciler.sandbox.settings import ACCOUNT, AUTOMATION_ARN, DOMAIN_ARN, REGION
from reconciler.transports import opensearch
from tests.sandbox.bed import Bed

FOLDER = Path(__file__).parent / "wrong_chains"
RIGHT = tomllib.loads((FOLDER / "right.toml").read_text())
CASES = {
    f"{path.stem}: {case['name']}": case
    for path in sorted(FOLDER.glob("*.toml"))
    if path.name != "right.toml"
    for case in tomllib.loads(path.read_text())["case"]
}
ML = "/_plugins/_ml"
DEPLOYED_WITHIN = 20.0  # seconds


@dataclass(eq=False)
class Refused(Exception):
    """A step that failed: at which layer, with which status, in which words; `failure` is what the tool would see."""

    layer: str
    status: int
    words: str
    failure: ServiceFailure | None = None


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says otherwise; tables are merged, except bodies' own."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        mergeable = (
            isinstance(value, dict)
            and isinstance(result.get(key), dict)
            and key in {"invoke", "connector", "body", "rag"}
        )
        result[key] = merged(result[key], value) if mergeable else copy.deepcopy(value)
    return result


def right(name: str) -> dict[str, Any]:
    """The right chain of that name."""
    chain = RIGHT[name]
    return merged(right(chain["from"]), chain) if "from" in chain else copy.deepcopy(chain)


def found(chain: dict[str, Any], path: str) -> tuple[Any, str]:
    """The table or list that a path leads to, and the last part of the path."""
    *parents, last = [part.replace("~1", ".") for part in path.split(".")]
    place: Any = chain
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    return place, last


def changed(chain: dict[str, Any], changes: Mapping[str, Any], removed: Sequence[str]) -> dict[str, Any]:
    """The chain with values put where paths say; one past the end of a list is appended."""
    for path in removed:
        place, last = found(chain, path)
        del place[last]
    for path, given in changes.items():
        place, last = found(chain, path)
        value = "x" * given["repeat"] if isinstance(given, dict) and set(given) == {"repeat"} else given
        if isinstance(place, list) and int(last) == len(place):
            place.append(value)
        elif isinstance(place, list):
            place[int(last)] = value
        else:
            place[last] = value
    return chain


@dataclass
class Run:
    """One chain on its way through the sandbox."""

    bed: Bed
    chain: Mapping[str, Any]
    http: httpx.Client
    names: dict[str, str] = field(default_factory=dict)
    session: Credentials | None = None

    def __post_init__(self) -> None:
        self.names |= {"account": ACCOUNT, "automation": AUTOMATION_ARN, "domain": DOMAIN_ARN}
        self.names |= {"key": self.bed.env["DEEPSEEK_API_KEY"]}

    def filled(self, value: Any) -> Any:
        """A value with what is known now in place of <names>."""
        if isinstance(value, str):
            return re.sub(r"<(\w+)>", lambda match: self.names.get(match[1], match[0]), value)
        if isinstance(value, dict):
            return {key: self.filled(part) for key, part in value.items()}
        return [self.filled(part) for part in value] if isinstance(value, list) else value

    # --- calls

    def aws(self, call: str, by: str = "automation", **parameters: Any) -> Any:
        """A call of an AWS API, `iam:CreateRole`; documents may be tables."""
        service, _, name = call.partition(":")
        sent = {
            key: json.dumps(value) if key.endswith("Document") and not isinstance(value, str) else value
            for key, value in self.filled(parameters).items()
        }
        client = _client(service, self.bed.env["AWS_ENDPOINT_URL"], self._credentials(by))
        try:
            return getattr(client, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())(**sent)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            answer = Answer(status, None, code, message)
            failure = ServiceFailure(Request(Service(service), name), answer, message)
            raise Refused(service, status, f"{code}: {message}", failure) from None

    def domain(self, call: str, by: str, body: Any = None) -> Any:
        """A request to the domain, `PUT /path`; returns the body of its answer."""
        method, _, path = self.filled(call).partition(" ")
        url = f"{self.bed.env['OPENSEARCH_URL']}{path}"
        request = self.http.build_request(method, url, json=self.filled(body) if body is not None else None)
        self._authorise(request, by)
        got = self.http.send(request)
        if got.is_success:
            return got.json()
        answer = opensearch.answer(got.status_code, got.text, Redaction())
        failure = ServiceFailure(Request(Service.OPENSEARCH, f"{method} {path}"), answer, answer.reason)
        raise Refused(_layer(got), got.status_code, answer.reason, failure)

    def take(self, call: Mapping[str, Any]) -> Any:
        """A call as a case states it."""
        given = {key: value for key, value in call.items() if key not in {"aws", "domain", "switch"}}
        if "aws" in call:
            return self.aws(call["aws"], **given)
        if "domain" in call:
            return self.domain(call["domain"], **given)
        if "steer" in call:
            return lifecycle.steer(self.bed.name, call["steer"], call["answer"], times=None)
        return lifecycle.switch(self.bed.name, self.filled(call["switch"]))

    def _credentials(self, by: str) -> Credentials:
        if by == "automation":
            return self.bed.automation
        if by == "stranger":
            return Credentials("AKIAABCDEFGHIJKLMNOP", "secret")
        if by == "creator":
            assert self.session is not None
            return self.session
        key = self.aws("iam:CreateAccessKey", UserName=by)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    def _authorise(self, request: httpx.Request, by: str) -> None:
        who, _, how = by.partition(" ")
        if who == "nobody":
            return
        if who == "master":
            user, password = self.bed.master
            basic = httpx.BasicAuth(user, "wrong" if how else password)
            next(basic.sync_auth_flow(request))
            return
        kept = {name: value for name, value in request.headers.items() if name == "content-type"}
        signing = AWSRequest(method=request.method, url=str(request.url), data=request.content, headers=kept)
        SigV4Auth(self._credentials(who), "es", "eu-west-1" if how == "elsewhere" else REGION).add_auth(signing)
        request.headers.update(dict(signing.headers.items()))

    # --- steps

    def make_secret(self) -> None:
        if "secret" in self.chain:
            made = self.aws(
                "secretsmanager:CreateSecret",
                Name="deepseek",
                SecretString=json.dumps(self.filled(self.chain["secret"])),
            )
            self.names["secret"] = made["ARN"]

    def make_role(self, name: str) -> None:
        role = self.chain[name]
        made = self.aws("iam:CreateRole", RoleName=name, Path=role["path"], AssumeRolePolicyDocument=role["trust"])
        self.names[name] = made["Role"]["Arn"]
        self.aws("iam:PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=role["policy"])
        for policy in role["attached"]:
            self.aws("iam:AttachRolePolicy", RoleName=name, PolicyArn=f"arn:aws:iam::aws:policy/{policy}")

    def assume(self) -> None:
        got = self.aws("sts:AssumeRole", RoleArn="<create>", **self.chain["assume"])["Credentials"]
        self.session = Credentials(got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"])

    def put_settings(self) -> None:
        self.domain("PUT /_cluster/settings", self._admin, self.chain["settings"])

    def put_mapping(self) -> None:
        mapping = self.chain["mapping"]
        self.domain(f"PUT /_plugins/_security/api/rolesmapping/{mapping['role']}", mapping["by"], mapping["body"])

    def make_connector(self) -> None:
        connector = self.chain["connector"]
        made = self.domain(f"POST {ML}/connectors/_create", connector["by"], connector["body"])
        self.names["connector"] = made["connector_id"]

    def make_group(self) -> None:
        made = self.domain(f"POST {ML}/model_groups/_register", "creator", self.chain["group"])
        self.names["group"] = made["model_group_id"]

    def make_model(self) -> None:
        made = self.domain(f"POST {ML}/models/_register?deploy=true", "creator", self.chain["model"])
        self.names["model"] = made["model_id"]
        deadline = time.monotonic() + DEPLOYED_WITHIN
        while self.domain(f"GET {ML}/models/<model>", "creator")["model_state"] != "DEPLOYED":
            assert time.monotonic() < deadline

    def predict(self) -> None:
        self.domain(f"POST {ML}/models/<model>/_predict", "creator", self.chain["predict"])

    def ask_rag(self) -> None:
        self.domain("PUT /docs/_doc/1?refresh=true", self._admin, {"text": "New York City: 18,937,000 in 2023."})
        self.domain("PUT /_search/pipeline/rag", self._admin, self.chain["rag"]["pipeline"])
        found = self.domain("POST /docs/_search?search_pipeline=rag", self._admin, self.chain["rag"]["search"])
        said = found["ext"]["retrieval_augmented_generation"]
        if "error" in said:
            raise Refused("ml", 200, said["error"])

    @property
    def _admin(self) -> str:
        return "automation" if self.bed.info.settings.options.flavour == "aws" else "master"


STEPS: Mapping[str, Callable[[Run], None]] = {
    "secret": Run.make_secret,
    "invoke-role": lambda run: run.make_role("invoke"),
    "create-role": lambda run: run.make_role("create"),
    "assume": Run.assume,
    "settings": Run.put_settings,
    "mapping": Run.put_mapping,
    "connector": Run.make_connector,
    "group": Run.make_group,
    "model": Run.make_model,
    "predict": Run.predict,
    "rag": Run.ask_rag,
}
ON_ONES_OWN_NODE = {"invoke-role", "create-role", "assume", "settings", "connector"}


def _layer(got: httpx.Response) -> str:
    """Who refused a request to the domain, by the shape of his answer."""
    try:
        body = got.json()
    except ValueError:
        return "security" if got.status_code == 401 else "unknown"
    if "Message" in body or body.get("message", "").startswith(("The security token", "Credential should")):
        return "domain"
    if not isinstance(error := body.get("error"), dict):
        return "security"
    if error["type"] == "security_exception":
        return "security"
    return "remote" if "Error from remote service" in got.text else "ml"


_CLIENTS: dict[tuple[str, str, str, str | None], Any] = {}


def _client(service: str, endpoint: str, by: Credentials) -> Any:
    """A client of the sandbox's account; making one takes long."""
    key = (service, endpoint, by.access_key, by.token)
    if key not in _CLIENTS:
        _CLIENTS[key] = boto3.client(
            service,  # type: ignore[call-overload]
            region_name=REGION,
            endpoint_url=endpoint,
            aws_access_key_id=by.access_key,
            aws_secret_access_key=by.secret_key,
            aws_session_token=by.token,
            config=Config(retries={"total_max_attempts": 1}),
        )
    return _CLIENTS[key]


@pytest.fixture(scope="module")
def clients() -> Iterator[Callable[[Bed], httpx.Client]]:
    """A client of each sandbox's domain, kept open for all cases."""
    made: dict[str, httpx.Client] = {}

    def client(bed: Bed) -> httpx.Client:
        if bed.name not in made:
            trust = ssl.create_default_context(cafile=bed.env["CURL_CA_BUNDLE"])
            made[bed.name] = httpx.Client(verify=trust, timeout=60, trust_env=False)
        return made[bed.name]

    yield client
    for one in made.values():
        one.close()


@pytest.fixture
def start(
    request: pytest.FixtureRequest, clients: Callable[[Bed], httpx.Client]
) -> Callable[[str, dict[str, Any]], Run]:
    """Begins a chain on a sandbox of a flavour, reset."""

    def begin(flavour: str, chain: dict[str, Any]) -> Run:
        bed: Bed = request.getfixturevalue("aws_sandbox" if flavour == "aws" else "self_managed_sandbox")
        lifecycle.reset(bed.name)
        return Run(bed, chain, clients(bed))

    return begin


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str, start: Callable[[str, dict[str, Any]], Run]) -> None:
    run = start("aws", right(name))
    for step in STEPS.values():
        step(run)


@pytest.mark.parametrize("name", CASES)
def test_wrong(name: str, start: Callable[[str, dict[str, Any]], Run]) -> None:
    case = CASES[name]
    flavour = case.get("flavour", "aws")
    run = start(flavour, changed(right(case.get("chain", "bedrock")), case.get("change", {}), case.get("remove", [])))
    last = case.get("step") or case["after"]
    reached = list(STEPS)[: list(STEPS).index(last)]
    taken = [step for step in reached if flavour == "aws" or step in ON_ONES_OWN_NODE]
    assert set(case.get("before", {})) <= {*taken, last}
    for step in taken:
        _prepare(run, case, step)
        STEPS[step](run)
    _prepare(run, case, last)
    if "call" in case:
        STEPS[last](run)
    with pytest.raises(Refused) as raised:
        run.take(case["call"]) if "call" in case else STEPS[last](run)
    refused = raised.value
    assert (refused.layer, refused.status) == (case["layer"], case["status"]), refused.words
    assert re.search(case["words"], refused.words), refused.words
    if "code" in case:
        assert refused.failure is not None
        (problem,) = diagnosis.problems(refused.failure, diagnosis.Scene())
        assert problem.code == case["code"], problem


def _prepare(run: Run, case: Mapping[str, Any], step: str) -> None:
    for call in case.get("before", {}).get(step, ()):
        run.take(call)


def test_there_are_forty_and_each_layer_has_some() -> None:
    assert len(CASES) >= 40
    assert {case["layer"] for case in CASES.values()} == {"iam", "sts", "domain", "security", "ml", "remote"}
