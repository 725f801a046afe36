from django.conf import settings
from django.core.mail import get_connection

from accounts.models import QueuedMail
from config.doctor.findings import ERROR, OK, WARNING, Finding

LATE, FAR_TOO_LATE = 5 * 60, 60 * 60  # seconds that a mail has been due
OLD = 30 * 60  # seconds since the event of a mail that waits


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


def queue() -> Finding:
    """Whether somebody sends what is queued, and what could not be sent."""
    figures = QueuedMail.objects.figures()
    waiting, given_up, oldest = figures["waiting"], figures["given_up"], figures["oldest"]
    message = f"{waiting} waiting, the oldest due for {oldest / 60:.0f} min; {given_up} given up."
    if oldest > LATE:
        level = ERROR if oldest > FAR_TOO_LATE else WARNING
        return Finding(
            level, message, "Run send_mails all the time (deploy/guestlist-mail.service)."
        )
    if figures["age"] > OLD:  # it is not late, so it has been tried
        message += f" One has been tried for {figures['age'] / 60:.0f} min and is not sent."
        return Finding(WARNING, message, "Look at the log of send_mails, and at the mail server.")
    if given_up:
        return Finding(WARNING, message, "See Queued mails in the admin.")
    return Finding(OK, message)
