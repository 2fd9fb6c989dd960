"""A test bed on one machine, without any account: real OpenSearch, moto's AWS, and a gateway between them.

Real are the OpenSearch node and its Security plugin; moto answers for IAM, STS and Secrets Manager; ML Commons,
the model endpoints and what Amazon OpenSearch Service does in front of a domain are emulated. `docs/sandbox.md`
has the table. The entry point is `reconciler.sandbox.lifecycle`.
"""
