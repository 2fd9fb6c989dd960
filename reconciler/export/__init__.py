"""Export: from what is live to a manifest of it, whose next plan is empty. Nothing here writes."""
