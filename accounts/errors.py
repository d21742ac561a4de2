class Refused(Exception):
    """A settings verb will not act; the message says what to do instead."""
