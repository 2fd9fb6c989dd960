"""Loading of manifests: text to positions, references, variables, schemas, and one `Manifest`."""
