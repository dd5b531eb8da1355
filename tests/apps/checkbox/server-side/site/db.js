'use strict';
// One pooled client for the process. The server is asked for at most 2 s, so that a request fails in time
// when the database is away.
const { MongoClient } = require('mongodb');

function url(env) {
  const user = encodeURIComponent(env.MONGO_USER);
  const password = encodeURIComponent(env.MONGO_PASSWORD);
  return `mongodb://${user}:${password}@${env.MONGO_IP}:${env.MONGO_PORT}/site?authSource=admin`;
}

const client = new MongoClient(url(process.env), {
  serverSelectionTimeoutMS: 2000,
  connectTimeoutMS: 2000,
  socketTimeoutMS: 5000,
});

module.exports = { client, site: () => client.db('site') };
