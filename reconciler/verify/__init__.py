"""Proving the chain: the manifest's test queries, asked side by side, of documents that it brings along."""

from reconciler.verify.asking import Proof, Trial, Trouble, Verdict, clear, verify
from reconciler.verify.guard import proving

__all__ = ["Proof", "Trial", "Trouble", "Verdict", "clear", "proving", "verify"]
