"""A reconciler for the chain that lets OpenSearch ask a language model: IAM, Security, ML Commons."""
