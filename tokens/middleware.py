"""Gives each request the device of its browser, and the user of that device."""

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
    """Sets `request.device`, `request.user` and `request.auser` of a browser, with one query.

    The row of the device decides. A session is flushed if its device is not live, and is anonymous
    if it has no device. Django's session hash is not checked, because it changes when the password
    is hashed again by a newer method.
    """

    def process_request(self, request):
        """Replaces Django's, which would make two more lazy users."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            browser.remember_former_handle(request)
        request.device = SimpleLazyObject(partial(get_device, request))
        request.user = SimpleLazyObject(partial(_get_user, request))
        request.auser = partial(_aget_user, request)

    def process_response(self, request, response):
        """Redirect an ended device from a refused API page to the sign-in page, which says why."""
        if response.status_code != 401:
            return response
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and browser.was_signed_out(request):
            return redirect_to_login(request.get_full_path())
        return response

    def process_exception(self, request, exception):
        """Send the browser to the sign-in page if its device ended during the request."""
        if not isinstance(exception, flows.Refused):
            return None
        browser.refuse(request, exception)
        return redirect_to_login(request.get_full_path())


def _get_user(request: HttpRequest) -> User | AnonymousUser:
    device = get_device(request)
    return device.user if device else AnonymousUser()


async def _aget_user(request: HttpRequest) -> User | AnonymousUser:
    return await sync_to_async(_get_user)(request)
