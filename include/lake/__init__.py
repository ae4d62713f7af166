"""The declared lake and the law that keeps it: pure code, no I/O library."""
