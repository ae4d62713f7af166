"""`python -m lab`: see lab.cli."""

if __name__ == "__main__":
    try:
        from lab.cli import main
    except KeyboardInterrupt:  # before there is anything that could be told
        raise SystemExit(130) from None
    raise SystemExit(main())
