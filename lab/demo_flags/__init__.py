"""The demo of flags: flips under load while replicas and masters die; no answer is wrong, none fails."""
