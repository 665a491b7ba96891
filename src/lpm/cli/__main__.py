"""`python -m lpm.cli`: the command line where the interpreter is known and the path is not, as in batch jobs."""

from lpm.cli.main import main

if __name__ == "__main__":
    main()
