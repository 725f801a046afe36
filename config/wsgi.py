import os

from django.core.wsgi import get_wsgi_application

from config.requests import PATIENCE, WSGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PGOPTIONS", PATIENCE)

application = get_wsgi_application()
application.request_class = WSGIRequest
