from django.conf import settings
from django.core.mail import get_connection

from config.doctor.findings import ERROR, OK, WARNING, Finding


def server() -> Finding:
    """Connect to the mail server and log in, but send nothing."""
    server = get_connection()
    if not hasattr(server, "host"):
        return Finding(WARNING, f"{settings.EMAIL_BACKEND} sends nothing.", "Set EMAIL_URL.")
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        server.open()
    except OSError as error:  # SMTPException is an OSError
        message = f"{where} cannot be reached ({type(error).__name__})."
        return Finding(ERROR, message, "See EMAIL_URL.")
    server.close()
    return Finding(OK, f"{where} answers.")
