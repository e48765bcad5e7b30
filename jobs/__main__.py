"""``python -m jobs``: the same commands as ``./run``."""

from jobs.commands.app import main

if __name__ == "__main__":
    main()
