"""Changes the demo's objects behind the reconciler's back, with plain API calls, as somebody at a console would."""

import json
import sys

import boto3

ROLE = "deepseek-bedrock-invoke"
EC2 = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
ANYTHING = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


def say(text: str) -> None:
    sys.stdout.write(f"  {text}\n")


def document(statement: dict[str, object]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


iam = boto3.client("iam")
iam.update_assume_role_policy(RoleName=ROLE, PolicyDocument=document(EC2))
say(f"the trust policy of {ROLE} now names ec2.amazonaws.com")
iam.put_role_policy(RoleName=ROLE, PolicyName="temporary", PolicyDocument=document(ANYTHING))
say(f"{ROLE} has a new inline policy that allows s3:*")
