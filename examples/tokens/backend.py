"""A back end that issues tokens for users who are logged in, with the standard library alone.

  TOKEN_KEY=token.key SESSIONS=4f2a=ada python3 backend.py

`GET /token` answers with a token for the user of the cookie `session`; `GET /` is a page that uses it.
"""
import base64
import hashlib
import hmac
import json
import os
import re
import time
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TTL_S = int(os.environ.get("TTL", "600"))
# The secret is the content of the file without the line end.
SECRET = re.sub(rb"\r?\n\Z", b"", Path(os.environ.get("TOKEN_KEY", "token.key")).read_bytes())
PAGE = (Path(__file__).parent / "index.html").read_bytes()
# Replace this by the sessions of your site.
SESSIONS = dict(item.split("=") for item in os.environ.get("SESSIONS", "").split(",") if item)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def user_of(cookies):
    session = SimpleCookie(cookies).get("session")
    user = SESSIONS.get(session.value, "") if session else ""
    # A star in a grant is a pattern, so a user called `*` could read the channels of all users.
    return user if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", user) else None


def create_token(user):
    now = int(time.time())
    grants = {"subscribe": ["news/*", f"user/{user}"], "publish": [f"user/{user}"]}
    claims = {"sub": user, "iat": now, "exp": now + TTL_S, "grants": grants}
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    signed = b".".join(base64url(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(SECRET, signed, hashlib.sha256).digest()
    return (signed + b"." + base64url(signature)).decode()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/token":
            self.answer(200, "text/html; charset=utf-8", PAGE)
            return
        user = user_of(self.headers.get("Cookie", ""))
        body = {"token": create_token(user)} if user else {"error": "log in first"}
        self.answer(200 if user else 401, "application/json", json.dumps(body).encode())

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Handler)
print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
