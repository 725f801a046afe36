import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from config.checks import check_at_start
from config.databases import bound_connections
from config.servers import PGOPTIONS, ASGIRequest
from tokens.user_agents import parse_user_agent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PGOPTIONS", PGOPTIONS)

bound_connections(settings.DATABASES["default"])
application = get_asgi_application()
check_at_start()
parse_user_agent("")  # loads its tables, before the first sign-in waits for them
application.request_class = ASGIRequest
