"""Entry point of `python -m tools.bench`; see docs/performance.md."""

if __name__ == "__main__":  # the server's process imports this file, too
    from tools.bench.command import main

    main()
