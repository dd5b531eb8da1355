# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
checkbox:
  env:
    MONGO_PASSWORD: lab-fake-mongodb-checkbox
