# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
mariadb:
  users:
    itrust:
      password: lab-fake-mariadb-itrust
    itrust_schema:
      password: lab-fake-mariadb-itrust-schema
