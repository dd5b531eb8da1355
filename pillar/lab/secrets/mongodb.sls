# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
mongodb:
  users:
    checkbox: {password: lab-fake-mongodb-checkbox, database: site}
