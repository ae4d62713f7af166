"""A payment simulator: customers, cards, merchants, transfers, fraud with its ground truth. Stands apart: it imports nothing else of Homelake."""
