"""In-memory stand-ins of the clients, for unit tests. They pass the same contract suite as the real ones (tests/contract)."""
