"""`make new-project NAME=…`: leaves a service of your own in a fresh clone. `template/` is what it puts there."""
