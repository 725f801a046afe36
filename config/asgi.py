import os

from django.core.asgi import get_asgi_application

from config.servers import PGOPTIONS, ASGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PGOPTIONS", PGOPTIONS)

application = get_asgi_application()
application.request_class = ASGIRequest
