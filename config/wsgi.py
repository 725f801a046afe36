import os

from django.core.wsgi import get_wsgi_application

from config.checks import check_at_start
from config.servers import PGOPTIONS, WSGIRequest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PGOPTIONS", PGOPTIONS)

application = get_wsgi_application()
check_at_start()
application.request_class = WSGIRequest
