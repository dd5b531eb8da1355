'use strict';
// One pooled client for the process, and one for /health that does not wait as long as users have to.
const { MongoClient } = require('mongodb');

function url(env) {
  const user = encodeURIComponent(env.MONGO_USER);
  const password = encodeURIComponent(env.MONGO_PASSWORD);
  return `mongodb://${user}:${password}@${env.MONGO_IP}:${env.MONGO_PORT}/site?authSource=admin`;
}

const client = new MongoClient(url(process.env));
const probe = new MongoClient(url(process.env), {
  serverSelectionTimeoutMS: 800, connectTimeoutMS: 800, socketTimeoutMS: 800, maxPoolSize: 2,
});

module.exports = {
  site: () => client.db('site'),
  ping: () => probe.db('site').command({ ping: 1 }),
  close: () => Promise.all([client.close(), probe.close()]),
};
