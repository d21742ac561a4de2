"""A team's own Django app, as SPINDLE_APPS names one."""
