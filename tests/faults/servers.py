"""nginx and gunicorn before a `Site`, with the configuration that `deploy/` has."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.clients import Connection, request
from tests.faults.poolers import open_to_others
from tests.faults.sites import BASE_DIR

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Servers:
    """gunicorn with so many workers, behind nginx. `port` is that of TLS."""

    def __init__(self, site, workers=4, max_requests=500):
        self.site, self.port, self.inner = site, free_port(), free_port()
        self.command = [sys.executable, "-m", "gunicorn", "config.wsgi"]
        self.command += [
            "--config=deploy/gunicorn.conf.py",
            f"--workers={workers}",
            f"--max-requests={max_requests}",
            f"--max-requests-jitter={max_requests // 5}",
        ]
        self.log = site.folder / "gunicorn.log"
        self.socket = self.gunicorn = self.nginx = None
        site.environment["TRUSTED_PROXIES"] = "127.0.0.1"

    def start(self):
        self.start_gunicorn()
        self.start_nginx()
        self.await_answer()

    def start_gunicorn(self, checkout=None, **variables):
        """Start it as systemd does: its socket is open before, and between two servers."""
        if self.socket is None:
            self.socket = socket.create_server(("127.0.0.1", self.inner), backlog=2048)
        environment = {**self.site.environment, **variables, "LISTEN_FDS": "1"}
        command = f'LISTEN_PID=$$ exec "$@" 3<&{self.socket.fileno()}'
        with self.log.open("a") as log:
            self.gunicorn = subprocess.Popen(
                ["bash", "-c", command, "", *self.command],
                cwd=checkout or self.site.checkout,
                env={name: value for name, value in environment.items() if value},
                stdout=log,
                stderr=log,
                pass_fds=[self.socket.fileno()],
                start_new_session=True,
            )

    def stop_gunicorn(self):
        self.gunicorn.terminate()
        self.gunicorn.wait(timeout=60)

    def start_nginx(self):
        if not NGINX:
            pytest.skip("nginx is not installed")
        folder = self.site.folder
        key, certificate = folder / "tls.key", folder / "tls.pem"
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        made = [*command.split(), "-subj", "/CN=example.org", "-keyout", key, "-out", certificate]
        subprocess.run(made, check=True, capture_output=True)
        (folder / "site.conf").write_text(self._nginx_site(key, certificate))
        main = folder / "nginx.conf"
        main.write_text(
            f"daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ include {folder}/site.conf; }}\n"
        )
        open_to_others(folder)
        self.nginx = subprocess.Popen(
            [NGINX, "-e", folder / "nginx-error.log", "-c", main], start_new_session=True
        )

    def _nginx_site(self, key, certificate):
        """`deploy/nginx.conf` on ports, and with files, of its own."""
        text = (BASE_DIR / "deploy" / "nginx.conf").read_text()
        text = re.sub(r" *listen \[::\].*\n", "", text)
        text = re.sub(r"listen 80\b", f"listen 127.0.0.1:{free_port()}", text)
        for name, ours in {
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "127.0.0.1:8000": f"127.0.0.1:{self.inner}",
            "/etc/letsencrypt/live/example.org/fullchain.pem": certificate,
            "/etc/letsencrypt/live/example.org/privkey.pem": key,
            "/var/log/nginx": self.site.folder,
        }.items():
            assert name in text
            text = text.replace(name, str(ours))
        return text

    def await_answer(self, seconds=120):
        """Wait until the site is ready."""
        give_up = time.monotonic() + seconds
        while self.ask("GET", "/readyz")[0] != 200:
            assert self.gunicorn.poll() is None, self.log.read_text()[-4000:]
            assert self.nginx.poll() is None
            assert time.monotonic() < give_up, self.log.read_text()[-4000:]
            time.sleep(0.2)

    def ask(self, *args, **kwargs):
        """Status, headers and body of one request. The status is None without an answer."""
        connection = Connection(self.port)
        try:
            return connection.ask(request(*args, **kwargs))
        except OSError:
            return None, {}, b""
        finally:
            connection.close()

    def workers(self):
        """The processes of the workers that have started."""
        children = Path(f"/proc/{self.gunicorn.pid}/task/{self.gunicorn.pid}/children")
        return [int(number) for number in children.read_text().split()]

    def memory(self):
        """The resident memory of each worker, in MB."""
        pages = [Path(f"/proc/{worker}/statm").read_text().split()[1] for worker in self.workers()]
        return sorted(round(int(number) * os.sysconf("SC_PAGE_SIZE") / 2**20) for number in pages)

    def stop(self):
        if self.socket:
            self.socket.close()
        for process in (self.nginx, self.gunicorn):
            if process and process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
