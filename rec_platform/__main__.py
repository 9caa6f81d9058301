"""`python -m rec_platform` is the command `rec-platform`."""

from rec_platform.cli.main import main

if __name__ == "__main__":
    main()
