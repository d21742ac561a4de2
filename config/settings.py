"""Spindle's settings. Everything that differs between installations comes from the environment.

docs/settings.md lists every variable; a test keeps that list whole.
"""

from pathlib import Path
from typing import Any

from django.contrib.messages import constants as message_levels

from config import env, profiles

BASE_DIR = Path(__file__).resolve().parent.parent

DATA_DIR = env.folder("SPINDLE_DATA_DIR", BASE_DIR / ".spindle")
DEBUG = env.flag("SPINDLE_DEBUG", default=False)
SECRET_KEY = profiles.secret_key(DATA_DIR)
ALLOWED_HOSTS = env.words("SPINDLE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.origins("SPINDLE_TRUSTED_ORIGINS")
# Address people and providers reach the portal under; used in mails and callback links.
BASE_URL = env.origin("SPINDLE_BASE_URL", "http://127.0.0.1:8000")
IS_HTTPS = BASE_URL.startswith("https://")

INSTALLED_APPS = [
    "daphne",
    "config",
    "accounts",
    "projects",
    "jobs",
    *env.words("SPINDLE_APPS"),  # a team's own Django apps, with steps written in Python
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "channels",
    *(["channels_lite"] if not env.text("CHANNEL_LAYER_URL") else []),
    "django_filters",
    "django_htmx",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "accounts.middleware.SignInForHtmxMiddleware",
    "accounts.middleware.TimeZoneMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "projects.context_processors.shell",
            ],
        },
    },
]

# Which process this is: "web", "worker", "beat", or "" for a command. Set by manage.py.
ROLE = env.text("SPINDLE_ROLE")
DATABASES = profiles.databases(DATA_DIR, role=ROLE)
DATABASE_ROUTERS = ["config.routers.ChannelLayerRouter"] if "channels" in DATABASES else []
CHANNEL_LAYERS = {"default": profiles.channel_layer(DATA_DIR)}

# --- Celery: hints only, so results, canvas and long schedules are off ------------------------
CELERY_BROKER_URL, CELERY_BROKER_TRANSPORT_OPTIONS = profiles.broker(DATA_DIR)
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_TASK_DEFAULT_QUEUE = f"{profiles.key_prefix()}spindle"
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 270
CELERY_WORKER_MAX_TASKS_PER_CHILD = 1000
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_SEND_SENT_EVENT = False
SWEEP_SECONDS = env.number("SPINDLE_SWEEP_SECONDS", 3, lowest=1, highest=60)
IMPORT_SWEEP_SECONDS = 15
RETENTION_SECONDS = 60
CELERY_BEAT_SCHEDULE = {
    # A poke nobody took in time is worthless: the next one is already there.
    "sweep": {
        "task": "jobs.tasks.sweep",
        "schedule": SWEEP_SECONDS,
        "options": {"expires": 2 * SWEEP_SECONDS},
    },
    "sweep-imports": {
        "task": "projects.sweep_imports",
        "schedule": IMPORT_SWEEP_SECONDS,
        "options": {"expires": IMPORT_SWEEP_SECONDS},
    },
    "retention": {
        "task": "jobs.prune",
        "schedule": RETENTION_SECONDS,
        "options": {"expires": RETENTION_SECONDS},
    },
    "bulk-actions": {
        "task": "jobs.work_on_bulk_actions",
        "schedule": 10,
        "options": {"expires": 20},
    },
}

# --- The engine (docs/engine.md) --------------------------------------------------------------
LEASE_SECONDS = env.number("SPINDLE_LEASE_SECONDS", 30, lowest=1)
FORCE_STOP_AFTER_SECONDS = env.number("SPINDLE_FORCE_STOP_AFTER_SECONDS", 60)
# A worker whose engine makes no progress for so long ends itself; its work is taken over.
# A running job of whose usual length nothing is known counts as slow beyond this.
SLOW_AFTER_SECONDS = env.number("SPINDLE_SLOW_AFTER_SECONDS", 3_600, lowest=30)
HANG_SECONDS = env.number("SPINDLE_HANG_SECONDS", 60, lowest=1)
BATCH_SIZE = env.number("SPINDLE_BATCH_SIZE", 500, lowest=1, highest=5_000)
BATCHES_IN_FLIGHT = env.number("SPINDLE_BATCHES_IN_FLIGHT", 4, lowest=1, highest=100)

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "account_login"

ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
OPEN_SIGNUP = env.flag("SPINDLE_OPEN_SIGNUP", default=False)
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if OPEN_SIGNUP else "none"
# One address a person: a new one takes its place once its owner confirmed it.
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# Accounts come by invitation or from the command line, where no address is confirmed.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Spindle"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
ALLAUTH_TRUSTED_PROXY_COUNT = env.number("SPINDLE_TRUSTED_PROXIES", 0)

DEFAULT_FROM_EMAIL = env.text("SPINDLE_FROM_EMAIL", "spindle@localhost")
EMAIL_BACKEND, EMAIL_SETTINGS = profiles.email()
EMAIL_HOST: str = EMAIL_SETTINGS["host"]
EMAIL_PORT: int = EMAIL_SETTINGS["port"]
EMAIL_HOST_USER: str = EMAIL_SETTINGS["user"]
EMAIL_HOST_PASSWORD: str = EMAIL_SETTINGS["password"]
EMAIL_USE_TLS: bool = EMAIL_SETTINGS["starttls"]
EMAIL_USE_SSL: bool = EMAIL_SETTINGS["tls"]

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = IS_HTTPS
SESSION_COOKIE_AGE = 14 * 24 * 3600
SECURE_SSL_REDIRECT = env.flag("SPINDLE_HTTPS_REDIRECT", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if IS_HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if IS_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.flag("SPINDLE_HSTS_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = SECURE_HSTS_INCLUDE_SUBDOMAINS
SECURE_CONTENT_TYPE_NOSNIFF = True
# Hosts (name or name:port) on this network that steps may call in spite of SSRF protection.
INTERNAL_HOSTS = env.words("SPINDLE_INTERNAL_HOSTS")
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    },
}

# --- Steps (docs/steps.md) ---------------------------------------------------------------------
SECRETS_KEYS = env.words("SPINDLE_SECRETS_KEYS")
# Hosts, or host:port, that steps may call although they are not public.
HTTP_PORTS = env.numbers("SPINDLE_HTTP_PORTS", "80,443,8080,8443")
# The model an AI step uses for each effort unless it names its own.
AI_MODELS = {
    "anthropic": {
        "max": env.text("SPINDLE_AI_MODEL_MAX", "claude-opus-4-1"),
        "high": env.text("SPINDLE_AI_MODEL_HIGH", "claude-opus-4-1"),
        "medium": env.text("SPINDLE_AI_MODEL_MEDIUM", "claude-haiku-4-5"),
    },
    "openai": {
        "max": env.text("SPINDLE_OPENAI_MODEL_MAX", "gpt-5"),
        "high": env.text("SPINDLE_OPENAI_MODEL_HIGH", "gpt-5"),
        "medium": env.text("SPINDLE_OPENAI_MODEL_MEDIUM", "gpt-5-mini"),
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = env.time_zone("SPINDLE_TIME_ZONE", "UTC")
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "config" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = True
MEDIA_ROOT = DATA_DIR / "uploads"
SPINDLE_MAX_UPLOAD_MB = env.number("SPINDLE_MAX_UPLOAD_MB", 200, lowest=1)
SPINDLE_MAX_IMPORT_ROWS = env.number("SPINDLE_MAX_IMPORT_ROWS", 2_000_000, lowest=1)
FILE_UPLOAD_HANDLERS = [
    "config.uploads.LimitedUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024
MESSAGE_TAGS = {message_levels.ERROR: "error"}

REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_RATES": {"api": "600/min"},  # a token or person, in each web process
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Spindle API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "jobs.statuses.JobStatus",
        "RecordStatus": "jobs.statuses.RecordStatus",
        "JobKind": "jobs.models.jobs.JobKind",
        "PipelineKind": "projects.models.PipelineKind",
        "Effort": "jobs.statuses.Effort",
    },
}

LOG_LEVEL = env.choice("SPINDLE_LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # One line a poke, every few seconds, hides what is worth reading.
        name: {"level": "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"}
        for name in (
            "celery.app.trace",
            "celery.worker.strategy",
            "celery.worker.request",  # an expired poke is no news
            "celery.beat",
            "daphne",
            "celery.worker.consumer.connection",
            "kombu",
            "asyncio",
            "aiohttp.access",
        )
    },
}
