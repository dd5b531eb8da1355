'use strict';
// The routes below /api/study: listing, creating and loading studies, and voting.
const express = require('express');
const { ObjectId } = require('mongodb');
const { site } = require('./db');

const routes = express.Router();
const INVITE_CODE = 'RESEARCH';
const PRIORITY = { open: 0, awarded: 1, closed: 2 };

function guard(handler) {
  return (req, res, next) => handler(req, res).catch(next);
}

routes.get('/listing', guard(async (req, res) => {
  const counted = await site().collection('votes')
    .aggregate([{ $group: { _id: '$studyId', votes: { $sum: 1 } } }]).toArray();
  const votes = new Map(counted.map((row) => [String(row._id), row.votes]));
  const found = await site().collection('studies').find({ skipListing: { $ne: true } }).limit(20).toArray();
  const studies = found.map((study) => ({
    id: study._id, name: study.name, description: study.description, status: study.status,
    studyKind: study.studyKind, votes: votes.get(String(study._id)) || 0,
  }));
  studies.sort((a, b) => PRIORITY[a.status] - PRIORITY[b.status]);
  res.json({ studies });
}));

routes.post('/create', guard(async (req, res) => {
  if (req.body.invitecode !== INVITE_CODE) {
    return res.json({ error: 'Invalid invitecode' });
  }
  const study = {
    name: String(req.body.name || ''), description: String(req.body.description || ''),
    studyKind: String(req.body.studyKind || 'survey'), status: 'open', created: new Date(),
  };
  const { insertedId } = await site().collection('studies').insertOne(study);
  return res.json({ admin_url: `/studies/admin.html?id=${insertedId}`, id: insertedId });
}));

routes.get('/load/:id', guard(async (req, res) => {
  const found = ObjectId.isValid(req.params.id)
    && await site().collection('studies').findOne({ _id: new ObjectId(req.params.id) });
  return found ? res.json({ study: found }) : res.status(404).json({ error: 'no such study' });
}));

routes.post('/vote/submit/', guard(async (req, res) => {
  await site().collection('votes').insertOne({ studyId: String(req.body.studyId), answers: req.body.answers });
  res.json({ status: 'ok' });
}));

module.exports = routes;
