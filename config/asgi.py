import os

from django.core.asgi import get_asgi_application

from config.checks import check_at_start
from config.servers import PGOPTIONS, ASGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PGOPTIONS", PGOPTIONS)

application = get_asgi_application()
check_at_start()
application.request_class = ASGIRequest
