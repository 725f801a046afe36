import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

# Models can be imported from here on.
from config.checks import check_at_start  # noqa: E402
from config.servers import PGOPTIONS, WSGIHandler, bound_waits, serve_metrics  # noqa: E402
from tokens.user_agents import parse_user_agent  # noqa: E402

os.environ.setdefault("PGOPTIONS", PGOPTIONS)

application = WSGIHandler()
check_at_start()
serve_metrics()
bound_waits()
parse_user_agent("")  # loads its tables, before the first sign-in waits for them
