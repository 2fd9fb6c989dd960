"""The workload, the services it is measured against, and what is made of the figures."""
