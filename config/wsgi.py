import os

from django.core.wsgi import get_wsgi_application

from config.checks import check_at_start
from config.servers import PGOPTIONS, WSGIRequest
from tokens.user_agents import parse_user_agent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PGOPTIONS", PGOPTIONS)

application = get_wsgi_application()
check_at_start()
parse_user_agent("")  # loads its tables, before the first sign-in waits for them
application.request_class = WSGIRequest
