"""Answers Prometheus, on METRICS_PORT of the loopback address, from a thread of each process.

All processes of a server listen on the port, and the system gives each scrape to one of them. So
the port answers as long as one process lives. What the database knows is read from two small
tables, never from that of the devices.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from socketserver import ThreadingTCPServer

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from accounts.models import QueuedMail
from config import metrics
from config.errors import describe
from config.readiness import PARTS, failed_parts, impatient_transaction
from tokens.models import Figure

logger = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
FIGURES = {
    "live_devices": "Live devices, as the last purge counted them.",
    "devices_past_retention": "Ended devices that the last purge left, past their retention.",
}
MAILS = {
    "mails_waiting": ("waiting", "Queued mails that were not given up."),
    "mails_given_up": ("given_up", "Mails that could not be sent."),
    "mail_oldest_seconds": ("oldest", "For how long the oldest mail has been due."),
    "mail_age_seconds": ("age", "How long ago the event of the oldest mail that waits was."),
}


class Stored:
    """What the database knows: whether it can be used, the last purge's figures, queued mails."""

    def collect(self) -> Iterator[Metric]:
        failed = failed_parts()
        ready = GaugeMetricFamily("guestlist_ready", "What /readyz looks at.", labels=["part"])
        for part in PARTS:
            ready.add_metric([part], part not in failed)
        yield ready
        if not {"database", "migrations"} & set(failed):
            yield from _stored()


class Handler(MetricsHandler):
    registry = CollectorRegistry()
    timeout = 10  # seconds for the other side to say something

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/metrics":
            super().do_GET()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)


class Server(ThreadingTCPServer):
    daemon_threads = allow_reuse_address = True
    allow_reuse_port = metrics.IS_SHARED

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        logger.warning("scrape failed", extra=describe(error) if error else None)


def serve(port: int) -> None:
    """Count events, and answer scrapes in a thread. If the port is taken, the log says so."""
    metrics.count_events()
    Handler.registry.register(Stored())
    if metrics.IS_SHARED:
        MultiProcessCollector(Handler.registry, metrics.DIRECTORY)
    else:
        Handler.registry.register(metrics.REGISTRY)
    try:
        server = Server((LOOPBACK, port), Handler)
    except OSError as error:
        logger.warning("metrics not served", extra=describe(error))
    else:
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _stored() -> Iterator[Metric]:
    with impatient_transaction():
        figures = {figure.name: figure for figure in Figure.objects.all()}
        mails = QueuedMail.objects.figures()
    for name, about in FIGURES.items():
        if name in figures:
            yield GaugeMetricFamily(f"guestlist_{name}", about, figures[name].value)
    if Figure.LIVE in figures:
        about, ended = "When the last purge ended.", figures[Figure.LIVE].taken_at.timestamp()
        yield GaugeMetricFamily("guestlist_purged_timestamp_seconds", about, ended)
    about = "Whether refresh tokens were ahead of their devices since after_restore ran last."
    yield GaugeMetricFamily("guestlist_after_restore_due", about, Figure.AHEAD in figures)
    for name, (key, about) in MAILS.items():
        yield GaugeMetricFamily(f"guestlist_{name}", about, mails[key])
