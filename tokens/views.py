from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.http import JsonResponse
from django.shortcuts import redirect
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from tokens import flows
from tokens.receivers import keep_handle


class PasswordChangeView(auth_views.PasswordChangeView):
    """The admin's password change, ending every other device and keeping this one."""

    template_name = "registration/password_change_form.html"
    success_url = "/admin/password_change/done/"

    def get_context_data(self, **kwargs):
        return super().get_context_data(**kwargs) | admin.site.each_context(self.request)

    def form_valid(self, form):
        try:
            handle = flows.change_password(form.save(commit=False), self.request.device)
        except flows.Refused:
            return redirect("login")
        keep_handle(self.request, handle)
        return redirect(self.get_success_url())


@csrf_exempt
def unknown_endpoint(request, **kwargs):
    """Whatever under /api/ is no endpoint: 404 as JSON, also with DEBUG on."""
    return _json(404, "Not found.", "not_found")


def bad_request(request, exception):
    if not _is_api(request):
        return defaults.bad_request(request, exception)
    return _json(400, "The request cannot be read.", "bad_request")


def not_found(request, exception):
    if not _is_api(request):
        return defaults.page_not_found(request, exception)
    return unknown_endpoint(request)


def server_error(request):
    if not _is_api(request):
        return defaults.server_error(request)
    return _json(500, "Something went wrong here.", "error")


def _is_api(request) -> bool:
    return request.path.startswith("/api/")


def _json(status: int, detail: str, code: str) -> JsonResponse:
    return JsonResponse({"detail": detail, "code": code}, status=status)
