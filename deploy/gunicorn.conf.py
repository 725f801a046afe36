"""gunicorn's settings: `gunicorn --config deploy/gunicorn.conf.py config.wsgi`."""

import os
import shutil
import socket
import sys
import tempfile
import time
from multiprocessing.sharedctypes import RawValue

from gunicorn.errors import HaltServer

# The address counts only where systemd has not opened it already (guestlist.socket). It is TCP,
# because a Unix socket has no address for TRUSTED_PROXIES to trust.
bind = "127.0.0.1:8000"
# One thread for each worker: a second one would wait for the same processor.
workers = int(os.environ.get("WEB_CONCURRENCY") or 2 * len(os.sched_getaffinity(0)) + 1)
# A worker is replaced after so many requests, so memory that it lost comes back. The jitter keeps
# all of them from going at the same time.
max_requests, max_requests_jitter = 10_000, 2_000
# Requests end after 30 s, the same when the server stops. The limits at PostgreSQL are below that.
timeout = graceful_timeout = 30
# Each worker makes its own application, because threads and connections do not survive a fork.
preload_app = False
# The site itself decides whose headers it believes (TRUSTED_PROXIES). gunicorn would take the word
# of every program on this host for whether a request came by TLS.
forwarded_allow_ips = ""
# nginx logs requests. With `--access-logfile -` gunicorn does, too: without paths and queries,
# because those of mailed links hold tokens.
access_log_format = '%(t)s %(h)s %(m)s %(s)s %(B)s %(M)sms "%({x-request-id}i)s"'
# A second way to command the server, in a home that its user does not have.
control_socket_disable = True
# In memory where the system allows it: there no disk holds up or ends a worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def on_starting(server):
    _replace_workers_safely(server)
    if port := os.environ.get("METRICS_PORT"):
        _refuse_a_taken_port(port)
        _share_counts(server)


def pre_fork(server, worker):
    # Plain memory that both share: a lock would stay locked if its holder were killed.
    worker.has_started, worker.none_starts = RawValue("b", 0), server.none_starts


def post_worker_init(worker):
    worker.has_started.value, worker.none_starts.value = 1, 0


def pre_request(worker, request):
    """Stay after `max_requests` while no worker can start that would take one's place."""
    if worker.none_starts.value:
        worker.max_requests += 1


def on_exit(server):
    shutil.rmtree(getattr(server, "metrics_directory", ""), ignore_errors=True)


def _replace_workers_safely(server):
    """Let new workers start before old ones go, and outlive one that cannot start.

    gunicorn by itself ends the old workers at once on SIGHUP, and ends as a whole when one worker
    cannot start. So a key file that was broken while the site ran would take the site down.
    """
    manage, reap = server.manage_workers, server.reap_workers
    server.none_starts = RawValue("b", 0)

    def manage_workers():
        patience = time.monotonic() + server.cfg.timeout
        while len(server.WORKERS) > server.num_workers and time.monotonic() < patience:
            if all(worker.has_started.value for worker in server.WORKERS.values()):
                break
            server.reap_workers()
            time.sleep(0.1)
        manage()

    def reap_workers():
        try:
            reap()
        except HaltServer as error:
            if not any(worker.has_started.value for worker in server.WORKERS.values()):
                raise
            server.none_starts.value = 1
            server.log.error("%s The other workers go on.", error.reason)
            time.sleep(2)  # the next attempt follows at once

    server.manage_workers, server.reap_workers = manage_workers, reap_workers


def _refuse_a_taken_port(port):
    """Workers share the port. So would a second server, and each scrape would reach one of two."""
    try:
        socket.create_server(("127.0.0.1", int(port))).close()
    except OSError:
        sys.exit(f"METRICS_PORT: another program has port {port}. Give each server its own.")
    except ValueError:
        pass  # the settings say what is wrong


def _share_counts(server):
    """Give the workers a directory where they count together."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        directory = tempfile.mkdtemp(prefix="guestlist-metrics-", dir=worker_tmp_dir)
        server.metrics_directory = os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
