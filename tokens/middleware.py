from functools import partial

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.views import redirect_to_login
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject

from accounts.hashers import Busy
from accounts.models import User
from config.errors import unavailable
from tokens import flows
from tokens.browser import HANDLE_KEY, SIGNED_OUT_KEY, get_device, sign_out
from tokens.step_up import ask_for_password


class DeviceMiddleware(AuthenticationMiddleware):
    """`request.device`, `request.user` and `request.auser` of a browser, in one query.

    The row decides: a session whose device is not live is flushed, and one without a device is
    anonymous. Django's session hash is not consulted, because a hash upgrade changes it.
    """

    def process_request(self, request):
        """In place of Django's, which would make two lazy users more."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            # Read now: `login()` may flush the session before the new device replaces this one.
            request.former_handle = request.session.get(HANDLE_KEY)
        request.device = SimpleLazyObject(partial(get_device, request))
        request.user = SimpleLazyObject(partial(get_user, request))
        request.auser = partial(aget_user, request)

    def process_response(self, request, response):
        """A page of the API that refuses a device which ended leads to where it is told why."""
        if response.status_code != 401:
            return response
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if is_page and SIGNED_OUT_KEY in request.session:
            return redirect_to_login(request.get_full_path())
        return response

    def process_exception(self, request, exception):
        """A device that ended between two steps of one request signs in again."""
        if not isinstance(exception, flows.Refused):
            return None
        sign_out(request, exception)
        return redirect_to_login(request.get_full_path())


def get_user(request: HttpRequest) -> User | AnonymousUser:
    device = get_device(request)
    return device.user if device else AnonymousUser()


async def aget_user(request: HttpRequest) -> User | AnonymousUser:
    return await sync_to_async(get_user)(request)


class StepUpMiddleware(MiddlewareMixin):
    """Ask for the password before staff write users or roles in the admin."""

    def process_view(self, request, view_func, view_args, view_kwargs):
        match = request.resolver_match
        if match.app_names != ["admin"] or not (match.url_name or "").startswith("accounts_"):
            return None
        try:
            return ask_for_password(request)
        except (OperationalError, InterfaceError, Busy) as error:
            # UnavailableMiddleware hears of views alone.
            return unavailable(request, error)
