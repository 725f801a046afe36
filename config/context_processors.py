from django.conf import settings
from django.http import HttpRequest


def support_contact(request: HttpRequest) -> dict[str, str]:
    """Give every page `support_contact`: whom people can ask, or "" if the site names nobody."""
    return {"support_contact": settings.SUPPORT_CONTACT}
