"""The WSGI application of a contender: the project's, without its checks, which a peer fails."""

from django.core.wsgi import get_wsgi_application

from benchmarks.settings import IS_STOCK

application = get_wsgi_application()
if not IS_STOCK:
    from config.servers import WSGIRequest  # which needs models

    application.request_class = WSGIRequest
