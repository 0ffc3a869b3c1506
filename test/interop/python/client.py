"""confluent-kafka against the broker at $BOOTSTRAP. Prints PASS or FAIL lines; see ../README.md."""

import os
import sys
import time
import traceback

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType

SERVER = os.environ["BOOTSTRAP"]
RUN = os.environ["RUN"] + "-python"
SEED = os.environ["SEED"]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
admin = AdminClient({"bootstrap.servers": SERVER})
failed = False


def check(name, func):
    global failed
    try:
        func()
        print("PASS", name, flush=True)
    except Exception as e:  # any failure of a check is a line, and the next check runs
        failed = True
        print(f"FAIL {name}: {type(e).__name__}: {str(e)[:300]}".replace("\n", " "), flush=True)
        traceback.print_exc()


def wait_all(futures):
    for f in futures.values():
        f.result(60)


def produce(topic, values, **conf):
    p = Producer({"bootstrap.servers": SERVER, "acks": "all", **conf})
    errors = []
    for v in values:
        p.produce(topic, v, on_delivery=lambda err, msg: errors.append(err) if err else None)
    assert p.flush(60) == 0, "not everything was delivered"
    assert not errors, errors


def consumer(group, **conf):
    return Consumer({"bootstrap.servers": SERVER, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False, **conf})


def take(consumers, n, seconds=90):
    got, end = [], time.time() + seconds
    while len(got) < n and time.time() < end:
        for c in consumers:
            m = c.poll(0.1)
            if m is None:
                continue
            if m.error():
                if m.error().retriable() or m.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:  # a broker may hear later of a new topic
                    continue
                raise KafkaException(m.error())
            got.append(m)
    return got


def codec(name):
    topic = f"{RUN}-{name}"
    wait_all(admin.create_topics([NewTopic(topic, 3, 1)]))
    produce(topic, [f"python-{name}-{i}" for i in range(10)], **{"compression.type": name, "enable.idempotence": True, "linger.ms": 50})


def seed():
    c = consumer(RUN + "-seed")
    c.assign([TopicPartition(SEED, 0, 0)])
    got = [m.value().decode() for m in take([c], 50)]
    c.close()
    assert got == [f"seed-{k}-{i}" for k in CODECS for i in range(10)], got


def headers():
    topic = RUN + "-headers"
    wait_all(admin.create_topics([NewTopic(topic, 1, 1)]))
    p = Producer({"bootstrap.servers": SERVER})
    p.produce(topic, value=None, key=b"k", headers=[("h", b"1"), ("null", None)], timestamp=int(time.time() * 1000) - 5000)
    p.produce(topic, value=b"", key=None)
    assert p.flush(60) == 0
    c = consumer(RUN + "-headers")
    c.assign([TopicPartition(topic, 0, 0)])
    a, b = take([c], 2)
    assert (a.key(), a.value(), a.headers()) == (b"k", None, [("h", b"1"), ("null", None)]), a.headers()
    assert (b.key(), b.value()) == (None, b"")
    low, high = c.get_watermark_offsets(TopicPartition(topic, 0), timeout=60)
    assert (low, high) == (0, 2), (low, high)
    at = c.offsets_for_times([TopicPartition(topic, 0, a.timestamp()[1] + 1)], timeout=60)
    assert at[0].offset == 1, at
    c.close()


def group_of_two(strategy):
    topic, group = f"{RUN}-{strategy}", f"{RUN}-{strategy}"
    wait_all(admin.create_topics([NewTopic(topic, 6, 1)]))
    conf = {"partition.assignment.strategy": strategy, "session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
    one, two = consumer(group, **conf), consumer(group, **conf)
    one.subscribe([topic])
    end = time.time() + 60
    while len(one.assignment()) < 6 and time.time() < end:
        one.poll(0.1)
    assert len(one.assignment()) == 6, one.assignment()
    two.subscribe([topic])
    end = time.time() + 60
    while time.time() < end and not (len(one.assignment()) == 3 and len(two.assignment()) == 3):
        one.poll(0.1)
        two.poll(0.1)
    owned = {tp.partition for c in (one, two) for tp in c.assignment()}
    assert len(one.assignment()) == len(two.assignment()) == 3 and owned == set(range(6)), owned
    produce(topic, [str(i) for i in range(300)], **{"sticky.partitioning.linger.ms": 0})
    got = take([one, two], 300)
    assert sorted(int(m.value()) for m in got) == list(range(300)), len(got)
    one.commit(asynchronous=False)
    two.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(60)
    assert described.state.name == "STABLE" and len(described.members) == 2, described.state
    try:
        admin.delete_consumer_groups([group])[group].result(60)
        raise AssertionError("a group with members was deleted")
    except KafkaException as e:
        assert e.args[0].code() == KafkaError.NON_EMPTY_GROUP, e
    two.close()
    end = time.time() + 60
    while len(one.assignment()) < 6 and time.time() < end:
        one.poll(0.1)
    assert len(one.assignment()) == 6, "the member that stayed did not get everything"
    one.close()
    listed = admin.list_consumer_groups().result(60)
    assert group in [g.group_id for g in listed.valid], listed.errors
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(60)
    assert sum(tp.offset for tp in offsets.topic_partitions) == 300, offsets.topic_partitions
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 1)])])[group].result(60)
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])])[group].result(60)
    assert offsets.topic_partitions[0].offset == 1, offsets.topic_partitions
    admin.delete_consumer_groups([group])[group].result(60)


def held(consumers, want, seconds=120):
    """Polls until the consumers hold the partitions 0 to want-1, each once and nobody none."""
    end = time.time() + seconds
    while time.time() < end:
        for c in consumers:
            c.poll(0.1)
        sets = [{tp.partition for tp in c.assignment()} for c in consumers]
        if all(sets) and sum(map(len, sets)) == want and set.union(*sets) == set(range(want)):
            return
    raise AssertionError(sets)


def consumer_protocol():
    """A group of the consumer protocol (KIP-848), which a classic member joins, and has alone in the end."""
    topic, group = RUN + "-848", RUN + "-848"
    wait_all(admin.create_topics([NewTopic(topic, 6, 1)]))
    one, two = (consumer(group, **{"group.protocol": "consumer"}) for _ in range(2))
    one.subscribe([topic])
    held([one], 6)
    two.subscribe([topic])
    held([one, two], 6)
    produce(topic, [str(i) for i in range(300)], **{"sticky.partitioning.linger.ms": 0})
    got = take([one, two], 300)
    assert sorted(int(m.value()) for m in got) == list(range(300)), len(got)
    one.commit(asynchronous=False)
    two.commit(asynchronous=False)
    described = admin.describe_consumer_groups([group])[group].result(60)
    assert described.state.name == "STABLE" and described.type.name == "CONSUMER" and len(described.members) == 2, described
    three = consumer(group, **{"partition.assignment.strategy": "range", "session.timeout.ms": 10000})
    three.subscribe([topic])
    held([one, two, three], 6)
    one.close()
    two.close()
    held([three], 6)
    assert admin.describe_consumer_groups([group])[group].result(60).type.name == "CLASSIC"
    three.close()
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(60)
    assert sum(tp.offset for tp in offsets.topic_partitions) == 300, offsets.topic_partitions


def static_member():
    topic, group = RUN + "-static", RUN + "-static"
    wait_all(admin.create_topics([NewTopic(topic, 2, 1)]))
    produce(topic, ["a"])
    for generation in range(2):  # the same instance comes back while its session lives
        c = consumer(group, **{"group.instance.id": "i1", "session.timeout.ms": 10000})
        c.subscribe([topic])
        got = take([c], 1)
        assert len(got) == 1, f"round {generation} read nothing"
        c.close()


def transactional(name, **conf):
    p = Producer({"bootstrap.servers": SERVER, "transactional.id": f"{RUN}-{name}", **conf})
    p.init_transactions(60)
    return p


def committed(topic, n):
    """The first n values that a reader with read_committed gets, and whatever comes in the second after them."""
    c = consumer(f"{topic}-reader", **{"isolation.level": "read_committed"})
    c.subscribe([topic])
    got = take([c], n) + take([c], 1, 1)
    c.close()
    return sorted(m.value().decode() for m in got)


def transactions():
    topic = f"{RUN}-txn"
    wait_all(admin.create_topics([NewTopic(topic, 3, 1)]))
    p = transactional("txn")
    want = []
    for i in range(6):
        p.begin_transaction()
        for j in range(5):
            p.produce(topic, f"{i}-{j}")
        if i % 2:
            p.abort_transaction(60)
        else:
            p.commit_transaction(60)
            want += [f"{i}-{j}" for j in range(5)]
    got = committed(topic, len(want))
    assert got == want, got


def fencing():
    topic = f"{RUN}-fencing"
    wait_all(admin.create_topics([NewTopic(topic, 1, 1)]))
    zombie = transactional("fencing")
    zombie.begin_transaction()
    zombie.produce(topic, "zombie")
    zombie.flush(60)
    successor = transactional("fencing")
    successor.begin_transaction()
    successor.produce(topic, "successor")
    successor.commit_transaction(60)
    try:
        zombie.commit_transaction(60)
        raise AssertionError("the zombie committed")
    except KafkaException as e:
        assert e.args[0].fatal(), e
    assert committed(topic, 1) == ["successor"]


def exactly_once():
    source, sink, group = f"{RUN}-eos-in", f"{RUN}-eos-out", f"{RUN}-eos"
    wait_all(admin.create_topics([NewTopic(source, 1, 1), NewTopic(sink, 2, 1)]))
    want = [f"{i:03}" for i in range(200)]
    produce(source, want)
    c, p = consumer(group, **{"isolation.level": "read_committed"}), transactional("eos")
    c.subscribe([source])
    moved, rounds = 0, 0
    while moved < len(want):
        batch = take([c], 40)
        p.begin_transaction()
        for m in batch:
            p.produce(sink, m.value())
        p.send_offsets_to_transaction(c.position(c.assignment()), c.consumer_group_metadata(), 30)
        rounds += 1
        if rounds == 2:
            p.abort_transaction(60)
            for tp in c.committed(c.assignment(), 30):
                c.seek(tp)
            continue
        p.commit_transaction(60)
        moved += len(batch)
    c.close()
    got = committed(sink, len(want))
    assert got == want, (len(got), len(set(got)))


def configs():
    topic = RUN + "-configs"
    wait_all(admin.create_topics([NewTopic(topic, 1, 1, config={"retention.ms": "3600000"})]))
    res = ConfigResource(ResourceType.TOPIC, topic)
    got = admin.describe_configs([res])[res].result(60)
    assert got["retention.ms"].value == "3600000" and len(got) >= 30, len(got)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
    wait_all(admin.incremental_alter_configs([change]))
    end = time.time() + 60
    while time.time() < end:
        got = admin.describe_configs([res])[res].result(60)
        if got["cleanup.policy"].value == "delete,compact" and got["retention.ms"].value == "604800000":
            break
    assert got["cleanup.policy"].value == "delete,compact", got["cleanup.policy"].value
    bad = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("no.such.setting", "1", incremental_operation=AlterConfigOpType.SET)])
    try:
        wait_all(admin.incremental_alter_configs([bad]))
        raise AssertionError("an unknown setting was taken")
    except KafkaException as e:
        assert e.args[0].code() == KafkaError.INVALID_CONFIG, e
    wait_all(admin.create_partitions([NewPartitions(topic, 4)]))


def records():
    topic = RUN + "-records"
    wait_all(admin.create_topics([NewTopic(topic, 1, 1)]))
    produce(topic, [str(i) for i in range(10)])
    tp = TopicPartition(topic, 0, 4)
    assert admin.delete_records([tp])[tp].result(60).low_watermark == 4
    specs = {TopicPartition(topic, 0): OffsetSpec.earliest()}
    for f in admin.list_offsets(specs).values():
        assert f.result(60).offset == 4


def describe():
    cluster = admin.describe_cluster().result(60)
    assert len(cluster.nodes) == len(SERVER.split(",")) and cluster.cluster_id, cluster
    names = admin.list_topics(timeout=60).topics
    assert SEED in names, names
    try:
        wait_all(admin.create_topics([NewTopic(SEED, 1, 1)]))
        raise AssertionError("a topic was made twice")
    except KafkaException as e:
        assert e.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, e


def delete():
    mine = [t for t in admin.list_topics(timeout=60).topics if t.startswith(RUN) and t[len(RUN) + 1:] not in CODECS]
    assert len(mine) >= 5, mine
    wait_all(admin.delete_topics(mine))
    end = time.time() + 60
    while time.time() < end and set(mine) & set(admin.list_topics(timeout=60).topics):
        time.sleep(0.1)
    assert not set(mine) & set(admin.list_topics(timeout=60).topics), "topics are still listed"


for k in CODECS:
    check(f"produce {k}", lambda k=k: codec(k))
check("seed", seed)
check("headers, nulls, times", headers)
for s in ["range", "roundrobin", "cooperative-sticky"]:
    check(f"group of two, {s}", lambda s=s: group_of_two(s))
check("consumer protocol", consumer_protocol)
check("static member", static_member)
check("transactions", transactions)
check("fencing", fencing)
check("exactly once", exactly_once)
check("configs", configs)
check("records", records)
check("cluster", describe)
check("delete", delete)
sys.exit(0)
