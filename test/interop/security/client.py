"""librdkafka logs in by each mechanism over TLS, writes ten records and reads them."""

import json, os, time, urllib.request

from confluent_kafka import Consumer, KafkaException, Producer


def token(_):
    with urllib.request.urlopen(os.environ["ISSUER"] + "/token", data=b"grant_type=client_credentials") as r:
        doc = json.load(r)
    return doc["access_token"], time.time() + doc["expires_in"]


base = {"bootstrap.servers": os.environ["SASL"], "security.protocol": "SASL_SSL", "ssl.ca.location": os.environ["CA"], "log_level": 0}
logins = {
    "PLAIN": {"sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": "alice-secret"},
    "SCRAM-SHA-256": {"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "alice", "sasl.password": "alice-secret"},
    "SCRAM-SHA-512": {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "bob", "sasl.password": "bob-secret"},
    "OAUTHBEARER": {"sasl.mechanism": "OAUTHBEARER", "oauth_cb": token},
}
for name, login in logins.items():
    topic = os.environ["RUN"] + "-" + name.lower()
    try:
        p = Producer({**base, **login})
        for i in range(10):
            p.produce(topic, str(i))
        left = p.flush(60)
        c = Consumer({**base, **login, "group.id": topic, "auto.offset.reset": "earliest"})
        c.subscribe([topic])
        got = c.consume(10, timeout=60)
        c.close()
        assert left == 0 and len(got) == 10 and not any(m.error() for m in got), (left, got)
        print("PASS librdkafka:", name, "over TLS", flush=True)
    except (AssertionError, KafkaException) as e:
        print("FAIL librdkafka:", name, "over TLS:", e, flush=True)
failed = []
p = Producer({**base, "sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": "wrong-secret", "error_cb": lambda e: failed.append(e.name())})
end = time.time() + 60
while "_AUTHENTICATION" not in failed and time.time() < end:
    p.poll(1)
print("PASS librdkafka: a wrong password" if "_AUTHENTICATION" in failed else "FAIL librdkafka: a wrong password: %s" % failed, flush=True)
