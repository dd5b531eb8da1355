# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
itrust:
  db:
    password: lab-fake-mariadb-itrust
    schema_password: lab-fake-mariadb-itrust-schema
