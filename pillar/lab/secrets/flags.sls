# FAKE secrets of the lab: known to everyone who reads this file, of no use anywhere else.
flags:
  tokens:
    checkbox: lab-fake-flags-checkbox
