"""`python -m tools.bench`: see docs/performance.md."""

if __name__ == "__main__":  # the server's process reads this file, too, and needs nothing of it
    from tools.bench.command import main

    main()
