"""Contacts: reading files of them, keeping them, finding them, writing them out again."""
