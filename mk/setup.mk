# What a fresh Debian 12 needs.

packages = $(shell sed -e 's/[[:space:]]*\#.*//' -e '/^$$/d' mk/packages)

.PHONY: setup
## make setup          install what is needed to build, test and measure (as root)
setup:
	mk/install-packages $(packages)
