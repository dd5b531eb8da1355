// flagd's engine behind node's own server: `node server.js PORT FLAGS LOG TOKEN`.
// Speaks OFREP as far as it is measured: one flag, and all of them with an ETag.
'use strict'
const crypto = require('crypto')
const fs = require('fs')
const http = require('http')
const { FlagdCore } = require('@openfeature/flagd-core')

const [port, flags, log, token] = process.argv.slice(2)
const PREFIX = '/ofrep/v1/evaluate/flags'
const core = new FlagdCore()
core.setConfigurations(fs.readFileSync(flags, 'utf8'))
const lines = fs.createWriteStream(log, { flags: 'a' })

function one (key, context) {
  const found = core.resolveBooleanEvaluation(key, false, context)
  return { key, value: found.value, variant: found.variant, reason: found.reason, metadata: found.flagMetadata }
}

function all (context) {
  return {
    flags: core.resolveAll(context).map(found => ({
      key: found.flagKey, value: found.value, variant: found.variant, reason: found.reason, metadata: found.flagMetadata
    }))
  }
}

function answer (request, response, body) {
  if (request.url === '/health') return response.end('{}')
  if (request.headers.authorization !== `Bearer ${token}`) return response.writeHead(401).end()
  const context = JSON.parse(body).context || {}
  const headers = { 'Content-Type': 'application/json' }
  let text
  if (request.url === PREFIX) {
    text = JSON.stringify(all(context))
    headers.ETag = `"${crypto.createHash('sha256').update(text).digest('hex').slice(0, 32)}"`
  } else {
    text = JSON.stringify(one(decodeURIComponent(request.url.slice(PREFIX.length + 1)), context))
  }
  headers['Content-Length'] = Buffer.byteLength(text)
  response.writeHead(200, headers).end(text)
}

http.createServer((request, response) => {
  let body = ''
  request.on('data', piece => { body += piece })
  request.on('end', () => {
    answer(request, response, body)
    lines.write(`${Date.now()} ${request.method} ${request.url} ${response.statusCode}\n`)
  })
}).listen(Number(port), '127.0.0.1')
