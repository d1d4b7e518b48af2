"""nginx as a peer: one worker, no log, nothing outside a directory of its own."""

from __future__ import annotations

from pathlib import Path

_CONFIG = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr error;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
{before}
  server {{
    listen 127.0.0.1:{port} ssl;
    keepalive_requests 100000000;
    ssl_certificate {directory}/chain.pem;
    ssl_certificate_key {directory}/key.pem;
    location / {{
{location}
    }}
  }}
}}
"""


def configured(directory: Path, port: int, location: str, before: str = "") -> list[str]:
    """The arguments for an nginx that serves TLS at `port` with chain.pem and key.pem of the directory.
    `location`: what it does with requests; `before`: what its http block says before its server."""
    config = directory / "nginx.conf"
    config.write_text(_CONFIG.format(directory=directory, port=port, location=location, before=before))
    return ["-c", str(config)]
