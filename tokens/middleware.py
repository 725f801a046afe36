from functools import partial

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from tokens import browser, flows
from tokens.browser import get_device


class DeviceMiddleware(AuthenticationMiddleware):
    """`request.device`, `request.user` and `request.auser` of a browser, in one query.

    The row decides: a session whose device is not live is flushed, and one without a device is
    anonymous. Django's session hash is not consulted, because a hash upgrade changes it.
    """

    def process_request(self, request):
        """In place of Django's, which would make two lazy users more."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            browser.remember_former_handle(request)
        request.device = SimpleLazyObject(partial(get_device, request))
        request.user = SimpleLazyObject(partial(get_user, request))
        request.auser = partial(aget_user, request)

    def process_response(self, request, response):
        """A page of the API that refuses a device which ended leads to where it is told why."""
        if response.status_code != 401:
            return response
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and browser.was_signed_out(request):
            return redirect_to_login(request.get_full_path())
        return response

    def process_exception(self, request, exception):
        """A device that ended between two steps of one request signs in again."""
        if not isinstance(exception, flows.Refused):
            return None
        browser.refuse(request, exception)
        return redirect_to_login(request.get_full_path())


def get_user(request: HttpRequest) -> User | AnonymousUser:
    device = get_device(request)
    return device.user if device else AnonymousUser()


async def aget_user(request: HttpRequest) -> User | AnonymousUser:
    return await sync_to_async(get_user)(request)
