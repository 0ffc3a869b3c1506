"""An issuer of tokens: OpenID Connect discovery, a key, and the client credentials grant. Needs openssl for the signature."""

import base64, http.server, json, subprocess, sys, tempfile, time

key = tempfile.NamedTemporaryFile(suffix=".pem")
subprocess.run(["openssl", "genrsa", "-out", key.name, "2048"], check=True, capture_output=True)
modulus = subprocess.run(["openssl", "rsa", "-in", key.name, "-noout", "-modulus"], check=True, capture_output=True).stdout
modulus = bytes.fromhex(modulus.decode().strip().split("=")[1])


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


def token(issuer, subject):
    head = b64(json.dumps({"alg": "RS256", "kid": "k1"}).encode())
    now = int(time.time())
    body = b64(json.dumps({"iss": issuer, "aud": "weir", "sub": subject, "iat": now, "exp": now + 600}).encode())
    text = (head + "." + body).encode()
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key.name], input=text, check=True, capture_output=True).stdout
    return text.decode() + "." + b64(signature)


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, doc):
        b = json.dumps(doc).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)

    def do_GET(self):
        issuer = "http://127.0.0.1:%d" % self.server.server_port
        if self.path.endswith("openid-configuration"):
            return self.answer({"issuer": issuer, "jwks_uri": issuer + "/keys"})
        self.answer({"keys": [{"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": b64(modulus), "e": "AQAB"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer({"access_token": token("http://127.0.0.1:%d" % self.server.server_port, "service"), "token_type": "Bearer", "expires_in": 600})

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1], "w") as f:
    f.write(str(server.server_port))
server.serve_forever()
