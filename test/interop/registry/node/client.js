// The two registry clients of Node, by kafkajs, against the broker at $BOOTSTRAP and the registry at $REGISTRY. Prints PASS or FAIL lines; see
// ../../README.md.
const assert = require('node:assert')
const { Kafka, logLevel } = require('kafkajs')
const kjs = require('@kafkajs/confluent-schema-registry')
const cflt = require('@confluentinc/schemaregistry')
const protobuf = require('@bufbuild/protobuf')
const wkt = require('@bufbuild/protobuf/wkt')

const RUN = process.env.RUN + '-registry-node'
const kafka = new Kafka({ brokers: process.env.BOOTSTRAP.split(','), logLevel: logLevel.ERROR })
const baseURLs = [process.env.REGISTRY]
let failed = false

async function check(name, func) {
  let timer
  try {
    await Promise.race([func(), new Promise((_, no) => { timer = setTimeout(() => no(new Error('not done after a minute')), 60000) })])
    console.log('PASS ' + name)
  } catch (e) {
    failed = true
    console.log('FAIL ' + name + ': ' + String(e.message).replaceAll('\n', ' ').slice(0, 300))
    console.error(e)
  } finally {
    clearTimeout(timer)
  }
}

// What comes out of the topic when payloads have gone in.
async function through(topic, payloads) {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, acks: -1, messages: payloads.map((value) => ({ value })) })
  await producer.disconnect()
  const consumer = kafka.consumer({ groupId: topic })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const got = []
  await new Promise((done) => consumer.run({ eachMessage: async ({ message }) => { if (got.push(message.value) === payloads.length) done() } }))
  await consumer.disconnect()
  return got
}

async function refused(promise, pattern) {
  await assert.rejects(promise, (e) => { assert.match(e.message + ' ' + JSON.stringify(e.response?.data ?? e), pattern); return true })
}

const user = (...more) => ({ type: 'record', name: 'User', namespace: 'weir', fields: [{ name: 'name', type: 'string' }, { name: 'age', type: ['null', 'int'], default: null }, ...more] })
const point = (...more) => ({ $schema: 'http://json-schema.org/draft-07/schema#', type: 'object', additionalProperties: false, required: ['x'], properties: Object.fromEntries([['x', { type: 'number' }], ['y', { type: 'number' }], ...more]) })
const note = (more = '') => `syntax = "proto3";\npackage weir;\nmessage First { int32 a = 1; }\nmessage Note { string text = 1; repeated string tags = 2; map<string, int64> counts = 3; ${more} }`

async function kafkajsClient() {
  const registry = new kjs.SchemaRegistry({ host: process.env.REGISTRY })
  const { SchemaType, COMPATIBILITY } = kjs
  await check('kafkajs: avro', async () => {
    const topic = RUN + '-kjs-avro'
    const { id } = await registry.register({ type: SchemaType.AVRO, schema: JSON.stringify(user()) }, { subject: topic + '-value' })
    assert.equal(await registry.getLatestSchemaId(topic + '-value'), id)
    const values = [{ name: 'Ada', age: 36 }, { name: 'Bob', age: null }]
    const got = await through(topic, await Promise.all(values.map((v) => registry.encode(id, v))))
    assert.deepEqual((await Promise.all(got.map((b) => registry.decode(b)))).map((v) => ({ ...v })), values)
  })
  await check('kafkajs: avro, new schema, incompatible', async () => {
    const subject = RUN + '-kjs-avro-value'
    const { id } = await registry.register({ type: SchemaType.AVRO, schema: JSON.stringify(user({ name: 'nick', type: 'string', default: '' })) }, { subject })
    assert.equal(await registry.getLatestSchemaId(subject), id)
    assert.equal(await registry.getRegistryIdBySchema(subject, { type: SchemaType.AVRO, schema: JSON.stringify(user()) }), await registry.getRegistryId(subject, 1))
    await refused(registry.register({ type: SchemaType.AVRO, schema: JSON.stringify(user({ name: 'must', type: 'string' })) }, { subject }), /incompatible|READER_FIELD_MISSING/i)
  })
  await check('kafkajs: json schema', async () => {
    const topic = RUN + '-kjs-json'
    const { id } = await registry.register({ type: SchemaType.JSON, schema: JSON.stringify(point()) }, { subject: topic + '-value' })
    const values = [{ x: 1, y: 2.5 }, { x: -1 }]
    const got = await through(topic, await Promise.all(values.map((v) => registry.encode(id, v))))
    assert.deepEqual(await Promise.all(got.map((b) => registry.decode(b))), values)
    await assert.rejects(registry.encode(id, { y: 1 }))
  })
  await check('kafkajs: protobuf', async () => {
    const topic = RUN + '-kjs-protobuf'
    const schema = note().replace('message First { int32 a = 1; }\n', '') // this client writes the first message only
    const { id } = await registry.register({ type: SchemaType.PROTOBUF, schema }, { subject: topic + '-value' })
    const values = [{ text: 'hi', tags: ['a', 'b'], counts: {} }]
    const got = await through(topic, await Promise.all(values.map((v) => registry.encode(id, v))))
    const [v] = await Promise.all(got.map((b) => registry.decode(b)))
    assert.equal(v.text, 'hi')
    assert.deepEqual([...v.tags], ['a', 'b'])
  })
  await check('kafkajs: compatibility of a subject', async () => {
    const subject = RUN + '-kjs-levels'
    await registry.register({ type: SchemaType.AVRO, schema: JSON.stringify(user()) }, { subject, compatibility: COMPATIBILITY.FULL })
    await refused(registry.register({ type: SchemaType.AVRO, schema: JSON.stringify({ ...user(), fields: user().fields.slice(1) }) }, { subject, compatibility: COMPATIBILITY.FULL }), /incompatible|READER_FIELD_MISSING/i)
  })
}

async function confluentClient() {
  const client = () => cflt.SchemaRegistryClient.newClient({ baseURLs, cacheCapacity: 100 })
  const registry = client()
  const VALUE = cflt.SerdeType.VALUE
  await check('confluent: avro', async () => {
    const topic = RUN + '-c-avro'
    await registry.register(topic + '-value', { schemaType: 'AVRO', schema: JSON.stringify(user()) })
    const values = [{ name: 'Ada', age: 36 }, { name: 'Bob', age: null }]
    const ser = new cflt.AvroSerializer(registry, VALUE, { useLatestVersion: true })
    const de = new cflt.AvroDeserializer(client(), VALUE, {})
    const got = await through(topic, await Promise.all(values.map((v) => ser.serialize(topic, v))))
    assert.deepEqual((await Promise.all(got.map((b) => de.deserialize(topic, b)))).map((v) => ({ ...v })), values)
  })
  await check('confluent: avro, a rule in CEL', async () => {
    const topic = RUN + '-c-rule'
    const ruleSet = { domainRules: [{ name: 'adult', kind: 'CONDITION', mode: 'WRITE', type: 'CEL', expr: 'message.age >= 18', onFailure: 'ERROR' }] }
    await registry.register(topic + '-value', { schemaType: 'AVRO', schema: JSON.stringify(user()), ruleSet })
    cflt.CelExecutor.register()
    const ser = new cflt.AvroSerializer(client(), VALUE, { useLatestVersion: true })
    await ser.serialize(topic, { name: 'Ada', age: 36 })
    await refused(ser.serialize(topic, { name: 'Kid', age: 7 }), /adult|message.age >= 18/)
    const got = await client().getLatestSchemaMetadata(topic + '-value')
    assert.equal(got.ruleSet.domainRules[0].expr, 'message.age >= 18')
  })
  await check('confluent: json schema, new schema, incompatible', async () => {
    const topic = RUN + '-c-json'
    await registry.register(topic + '-value', { schemaType: 'JSON', schema: JSON.stringify(point()) })
    const ser = new cflt.JsonSerializer(registry, VALUE, { useLatestVersion: true, validate: true })
    const de = new cflt.JsonDeserializer(client(), VALUE, {})
    const values = [{ x: 1, y: 2.5 }, { x: -1 }]
    const got = await through(topic, await Promise.all(values.map((v) => ser.serialize(topic, v))))
    assert.deepEqual(await Promise.all(got.map((b) => de.deserialize(topic, b))), values)
    await assert.rejects(ser.serialize(topic, { y: 1 }))
    await registry.register(topic + '-value', { schemaType: 'JSON', schema: JSON.stringify(point(['z', { type: 'number' }])) })
    assert.deepEqual(await registry.getAllVersions(topic + '-value'), [1, 2])
    await refused(registry.register(topic + '-value', { schemaType: 'JSON', schema: JSON.stringify(point(['x', { type: 'string' }])) }), /40901|incompatible/i)
  })
  await check('confluent: protobuf', async () => {
    const topic = RUN + '-c-protobuf'
    // The classes are made of the descriptor that the registry gives; generated code has the same in it.
    const id = await registry.register(topic + '-value', { schemaType: 'PROTOBUF', schema: note() })
    const serialized = await client().getBySubjectAndId(topic + '-value', id, 'serialized')
    const file = protobuf.fromBinary(wkt.FileDescriptorProtoSchema, Buffer.from(serialized.schema, 'base64'))
    const desc = protobuf.createFileRegistry(file, () => undefined).getMessage('weir.Note')
    const known = protobuf.createMutableRegistry(desc)
    const ser = new cflt.ProtobufSerializer(client(), VALUE, { useLatestVersion: true, registry: known })
    ser.registry.add(desc)
    const de = new cflt.ProtobufDeserializer(client(), VALUE, {})
    const values = [protobuf.create(desc, { text: 'hi', tags: ['a'], counts: { n: 5n } }), protobuf.create(desc, {})]
    const raw = await Promise.all(values.map((v) => ser.serialize(topic, v)))
    assert.deepEqual([...raw[0].subarray(5, 7)], [2, 2]) // one index, 1
    const got = await Promise.all((await through(topic, raw)).map((b) => de.deserialize(topic, b)))
    assert.deepEqual(got.map((v) => [v.text, v.tags.length, v.counts?.n]), [['hi', 1, 5n], ['', 0, undefined]])
  })
  await check('confluent: protobuf, new schema, incompatible', async () => {
    const subject = RUN + '-c-protobuf-value'
    await registry.register(subject, { schemaType: 'PROTOBUF', schema: note('bool done = 4;') })
    assert.deepEqual(await registry.getAllVersions(subject), [1, 2])
    assert.equal(await registry.testSubjectCompatibility(subject, { schemaType: 'PROTOBUF', schema: note('double done = 4;') }), false)
    await refused(registry.register(subject, { schemaType: 'PROTOBUF', schema: note('double done = 4;') }), /40901|FIELD_SCALAR_KIND_CHANGED/)
  })
  await check('confluent: subjects, levels, deletes', async () => {
    const subject = RUN + '-c-subject'
    await registry.register(subject, { schemaType: 'AVRO', schema: JSON.stringify(user()) })
    assert.ok((await registry.getAllSubjects()).includes(subject))
    await registry.updateCompatibility(subject, cflt.Compatibility.NONE)
    assert.equal(await registry.getCompatibility(subject), 'NONE')
    assert.equal((await registry.getSchemaMetadata(subject, 1)).version, 1)
    assert.deepEqual(await registry.deleteSubject(subject), [1])
    assert.deepEqual(await registry.deleteSubject(subject, true), [1])
    await refused(registry.getAllVersions(subject), /40401|not found/i)
  })
}

async function main() {
  await kafkajsClient()
  await confluentClient()
  process.exit(failed ? 1 : 0)
}
main()
