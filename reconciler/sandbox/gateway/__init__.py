"""What stands in front of the node: Amazon OpenSearch Service's part, and AWS's APIs with their rules. Emulated."""
