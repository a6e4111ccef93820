"""What the user gave and cannot be used."""


class InputError(ValueError):
    """One clear sentence: which value, which rule, what to do. The command line prints it and exits with 2."""
