// KafkaJS against the broker at $BOOTSTRAP. Prints PASS or FAIL lines; see ../README.md.
const { Kafka, CompressionTypes, CompressionCodecs, ConfigResourceTypes, logLevel } = require('kafkajs')

CompressionCodecs[CompressionTypes.Snappy] = require('kafkajs-snappy')

const run = process.env.RUN + '-kafkajs'
const seed = process.env.SEED
const servers = process.env.BOOTSTRAP.split(',')
const kafka = new Kafka({ clientId: 'weir-interop', brokers: servers, connectionTimeout: 10000, logLevel: logLevel.ERROR })
const admin = kafka.admin()
const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP, snappy: CompressionTypes.Snappy }

const equal = (got, want, what) => {
  if (JSON.stringify(got) !== JSON.stringify(want)) throw new Error(`${what}: got ${JSON.stringify(got).slice(0, 200)}, want ${JSON.stringify(want).slice(0, 200)}`)
}
const eventually = async (what, f) => {
  for (const end = Date.now() + 90000; Date.now() < end; await new Promise(r => setTimeout(r, 100))) if (await f()) return
  throw new Error(`${what} did not come about`)
}
async function check(name, f) {
  try {
    await f()
    console.log('PASS', name)
  } catch (e) {
    console.error(e)
    console.log(`FAIL ${name}: ${String(e).replace(/\n/g, ' ')}`)
  }
}

async function produce(name, compression) {
  const topic = `${run}-${name}`
  await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }], waitForLeaders: true })
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const messages = Array.from({ length: 10 }, (_, i) => ({ value: `kafkajs-${name}-${i}`, headers: { h: '1' } }))
  await producer.send({ topic, acks: -1, compression, messages })
  await producer.disconnect()
  await collect(`${run}-read-${name}`, topic, 10)
}

// collect reads n records of topic with a consumer of its own group.
async function collect(groupId, topic, n) {
  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 200 })
  const got = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => { got.push(String(message.value)) } })
  await eventually(`${n} records of ${topic}, got ${got.length}`, () => got.length >= n)
  await consumer.disconnect()
  return got
}

async function readSeed() {
  // KafkaJS has no lz4 and no zstd of its own: the records that kcat wrote with those it cannot read, so it stops before them.
  const consumer = kafka.consumer({ groupId: `${run}-seed`, maxWaitTimeInMs: 200, maxBytes: 1, maxBytesPerPartition: 1, retry: { retries: 0 } })
  const got = []
  await consumer.connect()
  await consumer.subscribe({ topic: seed, fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => {
    got.push(String(message.value))
    if (got.length === 30) consumer.pause([{ topic: seed }])
  } })
  await eventually('30 records of the seed', () => got.length >= 30)
  await consumer.disconnect()
  equal(got, ['none', 'gzip', 'snappy'].flatMap(c => Array.from({ length: 10 }, (_, i) => `seed-${c}-${i}`)), 'seed')
}

async function groupOfTwo() {
  const topic = `${run}-group`, groupId = `${run}-group`
  await admin.createTopics({ topics: [{ topic, numPartitions: 4, replicationFactor: 1 }], waitForLeaders: true })
  const got = [[], []], owned = [0, 0]
  const consumers = []
  for (const i of [0, 1]) {
    const c = kafka.consumer({ groupId, maxWaitTimeInMs: 200, heartbeatInterval: 500, sessionTimeout: 10000, rebalanceTimeout: 10000 })
    c.on(c.events.GROUP_JOIN, e => { owned[i] = (e.payload.memberAssignment[topic] || []).length })
    await c.connect()
    await c.subscribe({ topic, fromBeginning: true })
    await c.run({ eachMessage: async ({ message }) => { got[i].push(String(message.value)) } })
    consumers.push(c)
  }
  await eventually(`two partitions for each member, now ${owned}`, () => owned[0] === 2 && owned[1] === 2)
  const producer = kafka.producer()
  await producer.connect()
  const want = Array.from({ length: 80 }, (_, i) => `v${i}`)
  await producer.send({ topic, messages: want.map((value, i) => ({ value, partition: i % 4 })) })
  await producer.disconnect()
  await eventually('80 records', () => got[0].length + got[1].length >= 80)
  equal([...got[0], ...got[1]].sort(), [...want].sort(), 'group')
  const { groups } = await admin.describeGroups([groupId])
  equal([groups[0].state, groups[0].members.length], ['Stable', 2], 'described group')
  await consumers[1].disconnect()
  await eventually(`all partitions for the member that stays, now ${owned[0]}`, () => owned[0] === 4)
  await consumers[0].disconnect()
  const offsets = await admin.fetchOffsets({ groupId, topics: [topic] })
  equal(offsets[0].partitions.map(p => p.offset).sort(), ['20', '20', '20', '20'], 'committed offsets')
  await admin.resetOffsets({ groupId, topic, earliest: true })
  const listed = (await admin.listGroups()).groups.map(g => g.groupId)
  equal(listed.includes(groupId), true, 'listed')
  await admin.deleteGroups([groupId])
}

async function configs() {
  const topic = `${run}-configs`
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] })
  await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
  await eventually('three partitions', async () => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions.length === 3)
  await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name: 'segment.ms', value: '7200000' }] }] })
  await eventually('the new setting', async () => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['retention.ms', 'segment.ms'] }] })
    const now = Object.fromEntries(resources[0].configEntries.map(e => [e.configName, e.configValue]))
    return now['segment.ms'] === '7200000' && now['retention.ms'] === '604800000'
  })
  equal((await admin.describeCluster()).brokers.length, servers.length, 'brokers')
  const offsets = await admin.fetchTopicOffsets(seed)
  equal([offsets[0].low, offsets[0].high], ['0', '50'], 'offsets')
  await admin.deleteTopics({ topics: [topic, `${run}-group`] })
  await eventually('the topics are gone', async () => !(await admin.listTopics()).includes(topic))
}

async function main() {
  await admin.connect()
  for (const [name, codec] of Object.entries(codecs)) await check(`produce ${name}`, () => produce(name, codec))
  await check('seed', readSeed)
  await check('group of two', groupOfTwo)
  await check('configs and topics', configs)
  await admin.disconnect()
}

main().then(() => process.exit(0), e => { console.log(`FAIL ${e}`); process.exit(1) })
