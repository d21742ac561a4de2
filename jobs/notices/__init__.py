"""Notices: who follows a job, and how they are told once that it has ended.

following   who wants to hear of it
making      the notices, in the transaction that ends the job (the engine calls it)
reading     what a person has not read yet
words       what is said: the same on the page, in a mail and in Slack
rules       when each person is told, and where to
delivery    e-mail and Slack, by a Celery task with a row as its state
"""
