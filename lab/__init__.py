"""A small cloud on one computer: real Debian machines that boot with systemd-nspawn on a bridge."""
