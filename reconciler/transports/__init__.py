"""The edge: what sends requests over the network, reads secrets, and keeps a ledger in a file."""
