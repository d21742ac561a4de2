"""The demo: a team with every role, contacts of all kinds, spinners, and a provider to call."""
