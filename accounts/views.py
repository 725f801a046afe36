from django.shortcuts import render
from django.views import View

from accounts.verification import LinkRefused, read_link, verify_email


class VerifyEmailView(View):
    """The page behind a mailed link: GET shows what it does, POST does it.

    A mail scanner that follows links changes nothing, and nobody is signed in by it.
    """

    template_name = "accounts/verify_email.html"

    def get(self, request, token):
        return self._answer(request, lambda: {"email": read_link(token)["to"]})

    def post(self, request, token):
        return self._answer(request, lambda: {"verified": verify_email(token).email})

    def _answer(self, request, act):
        try:
            return render(request, self.template_name, act())
        except LinkRefused as refusal:
            return render(request, self.template_name, {"refusal": refusal}, status=400)
