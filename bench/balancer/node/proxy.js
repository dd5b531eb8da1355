// node http-proxy: `node proxy.js PORT ADMIN STABLE CANARY WORKERS LOG MODE`.
// MODE is `usual` (no agent: a new connection to the backend for every request, which is what its own
// README shows) or `keep-alive` (an agent that keeps them).
'use strict'
const cluster = require('cluster')
const fs = require('fs')
const http = require('http')
const httpProxy = require('http-proxy')

const [port, admin, stable, canary, workers] = process.argv.slice(2, 7).map(Number)
const [log, mode] = process.argv.slice(7)
const tracks = [stable, canary].map((p) => ({ url: `http://127.0.0.1:${p}`, up: true, requests: 0 }))

function check (track) {
  const asked = http.get(track.url + '/health', { timeout: 1000 }, (answer) => {
    answer.resume()
    track.up = answer.statusCode === 200
  })
  asked.on('timeout', () => asked.destroy())
  asked.on('error', () => { track.up = false })
}

function choose () {
  const wanted = Math.random() < 0.7 ? tracks[0] : tracks[1]
  return wanted.up ? wanted : tracks.find((track) => track.up)
}

function serve () {
  const lines = fs.createWriteStream(log, { flags: 'a' })
  const agent = mode === 'keep-alive' ? new http.Agent({ keepAlive: true, maxFreeSockets: 256 }) : undefined
  const proxy = httpProxy.createProxyServer({ xfwd: true, agent })
  proxy.on('error', (error, request, response) => {
    if (!response.headersSent) response.writeHead(502)
    response.end(error.message)
  })
  const server = http.createServer((request, response) => {
    const began = process.hrtime.bigint()
    const track = choose()
    if (!track) {
      response.writeHead(503)
      response.end()
      return
    }
    response.on('finish', () => {
      track.requests += 1
      const ms = Number(process.hrtime.bigint() - began) / 1e6
      lines.write(`${new Date().toISOString()} ${request.socket.remoteAddress} ${request.method} ` +
        `${request.url} ${response.statusCode} ${track.url} ${ms.toFixed(2)}\n`)
    })
    proxy.web(request, response, { target: track.url })
  })
  server.listen({ port, host: '127.0.0.1', backlog: 4096 })
  setInterval(() => tracks.forEach(check), 1000)
}

function metrics (request, response) {
  response.end(tracks.map((track) => `requests_total{track="${track.url}"} ${track.requests}\n`).join(''))
}

if (workers > 1 && cluster.isPrimary) {
  for (let i = 0; i < workers; i++) cluster.fork()
} else {
  serve()
  if (workers === 1) http.createServer(metrics).listen(admin, '127.0.0.1')
}
