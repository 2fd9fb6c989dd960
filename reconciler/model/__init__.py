"""The types everything else is said in: addresses, objects, requests, steps, schemas, changes, kinds."""
