"""The WSGI application of a contender: the project's, without its checks, which a peer fails."""

from django.core.wsgi import get_wsgi_application

from config.servers import WSGIRequest

application = get_wsgi_application()
application.request_class = WSGIRequest
