"""The commands of `./lake`, a module for each thing they concern."""
