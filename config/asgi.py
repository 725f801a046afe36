import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

# Models can be imported from here on.
from django.conf import settings  # noqa: E402

from config.checks import check_at_start  # noqa: E402
from config.databases import bound_connections, limit_requests  # noqa: E402
from config.servers import ASGIHandler, bound_waits, serve_metrics  # noqa: E402
from tokens.user_agents import parse_user_agent  # noqa: E402

limit_requests(settings.DATABASES["default"])
bound_connections(settings.DATABASES["default"])
application = ASGIHandler()
check_at_start()
serve_metrics()
bound_waits()
parse_user_agent("")  # loads its tables, before the first sign-in waits for them
