"""A team's own app with steps that misbehave (SPINDLE_APPS in the engine's process tests)."""
