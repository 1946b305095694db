// Drives KafkaJS. The features are those of scenario/ in Go; see README.md.
//
// driver.js FEATURE --bootstrap HOST:PORT --topic NAME [...]    exit 0: as expected; exit 1: the reason on standard error
const { Kafka, CompressionTypes, Partitioners, logLevel, ConfigResourceTypes } = require('kafkajs')
const { parseArgs } = require('node:util')
const assert = require('node:assert')

const { positionals, values: o } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['bootstrap', 'topic', 'group', 'codecs', 'acks', 'count', 'time'].map(name => [name, { type: 'string' }])),
})
o.count = Number(o.count)
const deadline = Date.now() + 100000
const kafka = new Kafka({ clientId: 'driver', brokers: o.bootstrap.split(','), logLevel: logLevel.NOTHING, retry: { initialRetryTime: 100 } })
const sleep = millis => new Promise(done => setTimeout(done, millis))

async function until(what, done) {
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error('waited for: ' + what)
    await sleep(20)
  }
}

// again does what KafkaJS asks the coordinator of a transaction only once (eosManager.sendOffsets), and gives up when that has
// moved, with any broker.
async function again(ask) {
  for (;;) {
    try {
      return await ask()
    } catch (e) {
      if (e.name !== 'KafkaJSProtocolError' || !e.retriable || Date.now() > deadline) throw e
      await sleep(50)
    }
  }
}

const codecs = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }

// send writes messages. When the leader of a partition moves, in the middle of a send, to a broker that has answered for other
// partitions already, KafkaJS forgets the messages for it and reports success, with any broker (sendMessages.js: responsePerBroker).
// The answer does not name the partition then, and its messages are sent again.
async function send(messages, { codec = 'none', acks = -1, idempotent = false } = {}) {
  const producer = kafka.producer({ idempotent, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  for (let left = messages.map(m => ({ partition: 0, ...m })); left.length > 0; ) {
    if (Date.now() > deadline) throw new Error(`${left.length} messages are not acknowledged`)
    const answers = await producer.send({ topic: o.topic, acks, compression: codecs[codec], messages: left })
    const answered = new Set(answers.map(a => a.partition))
    left = acks === 0 ? [] : left.filter(m => !answered.has(m.partition))
  }
  await producer.disconnect()
}

// member runs a consumer that hands every message to seen and commits each batch.
async function member(group, seen, beginAtStart = true) {
  const consumer = kafka.consumer({ groupId: group, sessionTimeout: 10000, rebalanceTimeout: 10000, heartbeatInterval: 300, maxWaitTimeInMs: 100 })
  const joined = new Promise(done => consumer.on(consumer.events.GROUP_JOIN, done))
  await consumer.connect()
  await consumer.subscribe({ topics: [o.topic], fromBeginning: beginAtStart })
  await consumer.run({ autoCommitInterval: 200, eachMessage: async ({ message, partition }) => seen(message, partition) })
  return { consumer, joined }
}

// read reads n messages with a group of its own, which KafkaJS needs; offset moves the start.
async function read(n, { offset, atEnd = false, ready = async () => {} } = {}) {
  const got = []
  const { consumer, joined } = await member(`read-${o.topic}-${process.pid}`, m => got.push(m), !atEnd)
  await joined
  if (offset !== undefined) consumer.seek({ topic: o.topic, partition: 0, offset })
  await ready()
  await until(`${n} records`, () => got.length >= n)
  await consumer.disconnect()
  return offset === undefined ? got : got.filter(m => BigInt(m.offset) >= BigInt(offset))
}

const expectValues = (got, prefix, first = 0) => got.forEach((m, i) => assert.equal(m.value.toString(), prefix + (first + i)))
const withAdmin = async use => {
  const admin = kafka.admin()
  await admin.connect()
  try { return await use(admin) } finally { await admin.disconnect() }
}
const refused = async promise => { try { await promise } catch { return true } return false }

async function commits() {
  for (const half of [0, 1]) {
    await send(Array.from({ length: o.count }, (_, i) => ({ value: `half/${half}/${i}` })))
    const got = []
    const { consumer } = await member(o.group, m => got.push(m))
    await until(`half ${half}`, () => got.length >= o.count)
    expectValues(got, `half/${half}/`)
    await consumer.disconnect()
  }
}

const features = {
  async produce() {
    for (const codec of o.codecs.split(',')) {
      for (const acks of o.acks.split(',')) {
        await send(Array.from({ length: o.count }, (_, i) => ({ key: String(i), value: `${codec}/${acks}/${i} ` + 'payload '.repeat(20) })), { codec, acks: Number(acks) })
      }
    }
  },
  async fields() {
    const at = Date.now() - 3600000
    const sent = [
      { key: 'key', value: 'value', timestamp: String(at), headers: { one: '1', two: Buffer.from([0, 255]) } },
      { key: null, value: 'no key', timestamp: String(at + 1) },
      { key: 'no value', value: null, timestamp: String(at + 2) },
      { key: 'empty', value: '', timestamp: String(at - 5000) },
      { key: 'ключ', value: '0123456789'.repeat(90000), timestamp: String(at + 4) },
    ]
    await send(sent)
    const got = await read(sent.length)
    sent.forEach((want, i) => {
      assert.equal(got[i].key === null ? null : got[i].key.toString(), want.key)
      assert.equal(got[i].value === null ? null : got[i].value.toString(), want.value)
      assert.equal(got[i].timestamp, want.timestamp)
      for (const [name, value] of Object.entries(want.headers ?? {})) assert.deepEqual(got[i].headers[name], Buffer.from(value))
    })
  },
  async idempotence() {
    await send(Array.from({ length: o.count }, (_, i) => ({ value: `idempotent/${i}` })), { idempotent: true })
  },
  async start() { expectValues(await read(o.count), 'fill/') },
  async end() {
    expectValues(await read(5, { atEnd: true, ready: () => send(Array.from({ length: 5 }, (_, i) => ({ value: `after/${i}` }))) }), 'after/')
  },
  async time() {
    const [{ offset }] = await withAdmin(a => a.fetchTopicOffsetsByTimestamp(o.topic, Number(o.time)))
    assert.equal(offset, String(o.count / 2))
    expectValues((await read(o.count / 2, { offset })).slice(0, o.count / 2), 'fill/', o.count / 2)
  },
  async group() {
    const seen = new Set()
    const start = async () => {
      const w = { count: 0 }
      w.consumer = (await member(o.group, m => { seen.add(m.value.toString()); w.count++ })).consumer
      return w
    }
    let stop = false
    let sent = 0
    const producing = (async () => {
      while (!stop) {
        await send(Array.from({ length: 12 }, (_, i) => ({ value: `load/${sent + i}`, partition: i % 6 })))
        sent += 12
      }
    })()
    const a = await start()
    await until('a receives', () => a.count > 50)
    const b = await start()
    await until('b receives', () => b.count > 50)
    await a.consumer.disconnect()
    const d = await start()
    await until('d receives', () => d.count > 50)
    const before = b.count
    await until('b still receives', () => b.count > before + 50)
    stop = true
    await producing
    await until(`all ${sent} are seen`, () => seen.size === sent)
    await Promise.all([b.consumer.disconnect(), d.consumer.disconnect()])
  },
  commits,
  // Copies a filled topic in transactions of 30; the second is aborted and done again by another client.
  async transactions() {
    let aborted = false
    for (let next = 0; next < o.count; ) {
      const waiting = []
      const consumer = kafka.consumer({ groupId: o.group, sessionTimeout: 10000, rebalanceTimeout: 10000, heartbeatInterval: 300, maxWaitTimeInMs: 100 })
      await consumer.connect()
      await consumer.subscribe({ topics: [o.topic], fromBeginning: true })
      await consumer.run({ autoCommit: false, eachMessage: async ({ message }) => waiting.push(message) })
      const producer = kafka.producer({ transactionalId: o.topic, idempotent: true, maxInFlightRequests: 1, createPartitioner: Partitioners.DefaultPartitioner })
      await producer.connect()
      for (let commit = true; commit && next < o.count; ) {
        const n = Math.min(30, o.count - next)
        await until(`${n} records`, () => waiting.length >= n)
        const chunk = waiting.splice(0, n)
        expectValues(chunk, 'fill/', next)
        commit = aborted || next !== 30
        const transaction = await producer.transaction()
        await transaction.send({ topic: o.topic + '.out', messages: chunk.map((_, i) => ({ partition: 0, value: `${commit ? 'kept' : 'dropped'}/${next + i}` })) })
        const offset = String(BigInt(chunk[n - 1].offset) + 1n)
        await again(() => transaction.sendOffsets({ consumerGroupId: o.group, topics: [{ topic: o.topic, partitions: [{ partition: 0, offset }] }] }))
        if (commit) {
          await transaction.commit()
          next += n
        } else {
          await transaction.abort()
          aborted = true
        }
      }
      await Promise.all([consumer.disconnect(), producer.disconnect()])
    }
  },
  async topics() {
    await withAdmin(async a => {
      const count = async () => {
        if (!(await a.listTopics()).includes(o.topic)) return 0
        return (await a.fetchTopicMetadata({ topics: [o.topic] })).topics[0].partitions.length
      }
      await a.createTopics({ topics: [{ topic: o.topic, numPartitions: 3, replicationFactor: 1, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] })
      await until('3 partitions', async () => (await count()) === 3)
      assert.equal(await a.createTopics({ topics: [{ topic: o.topic, numPartitions: 3 }] }), false)
      await a.createPartitions({ topicPartitions: [{ topic: o.topic, count: 5 }] })
      await until('5 partitions', async () => (await count()) === 5)
      await a.deleteTopics({ topics: [o.topic] })
      await until('no topic', async () => (await count()) === 0)
    })
  },
  async configs() {
    await withAdmin(async a => {
      const resource = { type: ConfigResourceTypes.TOPIC, name: o.topic }
      const value = async () => (await a.describeConfigs({ resources: [{ ...resource, configNames: ['retention.ms'] }] })).resources[0].configEntries[0].configValue
      const change = to => a.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: to }] }] })
      assert.equal(await value(), '604800000')
      await change('7200000')
      await until('the change is seen', async () => (await value()) === '7200000')
      assert(await refused(change('soon')), 'retention.ms=soon was accepted')
    })
  },
  async groups() {
    o.count = 10
    await commits()
    await withAdmin(async a => {
      const names = async () => (await a.listGroups()).groups.map(g => g.groupId)
      assert((await names()).includes(o.group), 'the group is not listed')
      await until('the group is empty', async () => (await a.describeGroups([o.group])).groups[0].state === 'Empty')
      const [{ partitions }] = await a.fetchOffsets({ groupId: o.group, topics: [o.topic] })
      assert.equal(partitions[0].offset, '20')
      await a.deleteGroups([o.group])
      assert(!(await names()).includes(o.group), 'the group is still there')
    })
  },
  async records() {
    await withAdmin(async a => {
      await a.fetchTopicOffsets(o.topic) // deleteTopicRecords needs metadata that it does not fetch
      await a.deleteTopicRecords({ topic: o.topic, partitions: [{ partition: 0, offset: String(o.count / 2) }] })
    })
    expectValues(await read(o.count / 2), 'fill/', o.count / 2)
  },
}

features[positionals[0]]().then(
  () => process.exit(0),
  e => { console.error(e.stack ?? e); process.exit(1) },
)
