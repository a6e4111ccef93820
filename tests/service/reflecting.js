// A caller who knows a port and nothing of the contract: lists services, describes their methods, calls some of them.
// Usage: node reflecting.js HOST:PORT; prints one JSON object.
const grpc = require('@grpc/grpc-js')
const { GrpcReflection } = require('grpc-js-reflection-client')

const SERVICE = 'quickstudy.v1.Recommender'

// The reply to one call, as promised.
const call = (client, method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, { deadline: Date.now() + 10_000 }, (error, reply) => (error ? reject(error) : resolve(reply))))

async function main (target) {
  const open = grpc.ChannelCredentials.createInsecure()
  const reflection = new GrpcReflection(target, open)
  const services = await reflection.listServices()
  const methods = await reflection.listMethods(SERVICE)
  const described = await reflection.getDescriptorBySymbol(SERVICE)
  const contract = described.getPackageObject({ keepCase: true, enums: String, longs: String, defaults: true })
  const client = new contract.quickstudy.v1.Recommender(target, open)
  const event = { event_id: 'e', user_id: 'node', item_id: 'i1', reward: 1 }
  const recorded = await call(client, 'RecordEvents', { events: [event, { ...event, item_id: '' }] })
  const slate = await call(client, 'Recommend', { user_id: 'node', candidate_ids: ['i1', 'i2', 'nowhere'], slate_size: 2 })
  const user = await call(client, 'GetUser', { user_id: 'node' })
  const refused = await call(client, 'GetUser', { user_id: '' }).catch(error => ({ code: error.code, details: error.details }))
  client.close()
  console.log(JSON.stringify({ services, methods: methods.map(method => method.name), recorded, slate, user, refused }))
}

main(process.argv[2]).then(() => process.exit(0), error => { console.error(error); process.exit(1) })
