"""The sources of the dashboard's figures, and who asks them."""
