"""gunicorn's settings: `gunicorn --config deploy/gunicorn.conf.py config.wsgi`."""

import os
import shutil
import tempfile

# Each worker makes its own application, because threads and connections do not survive a fork.
preload_app = False
# The site itself decides whose headers it believes (TRUSTED_PROXIES). gunicorn would take the word
# of every program on this host for whether a request came by TLS.
forwarded_allow_ips = ""


def on_starting(server):
    """Give the workers a directory where they count together, if there are metrics at all.

    It is in memory where the system allows it: a full disk must not end a worker that counts.
    """
    if os.environ.get("METRICS_PORT") and not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
        server.metrics_directory = tempfile.mkdtemp(prefix="guestlist-metrics-", dir=memory)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = server.metrics_directory


def on_exit(server):
    shutil.rmtree(getattr(server, "metrics_directory", ""), ignore_errors=True)
