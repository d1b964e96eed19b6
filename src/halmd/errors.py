"""The two ways a command ends early: a mistake a person can mend, and being out of time."""

EXIT_BAD_INPUT = 2
EXIT_OUT_OF_TIME = 75


class HalmdError(Exception):
    """A mistake that a person can mend.

    The message is one line: what is wrong, where (config path, formula, file), and how to mend it.
    The command line prints it and exits with code 2, without a traceback.
    """

    def __init__(self, message: str) -> None:
        # Names quoted in a message may hold line breaks; the message may not.
        super().__init__(" ".join(message.split()))


class OutOfTimeError(Exception):
    """A run stopped cleanly at a checkpoint and wants to be started again (exit code 75)."""
