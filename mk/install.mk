# make install DESTDIR= PREFIX=

INSTALL ?= install
man_sources = $(wildcard cmd/*/*.[157] man/*.7)

.PHONY: install
## make install        programs, man pages, schemas, completion, scripts and systemd units (DESTDIR, PREFIX)
install: all
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/metacache-tools \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	$(INSTALL) -m 755 $(programs) $(DESTDIR)$(PREFIX)/bin/
	$(INSTALL) -m 755 scripts/imap-postlogin scripts/drain-on-stop \
		scripts/pre-shutdown-prune scripts/summary-to-prometheus $(DESTDIR)$(PREFIX)/lib/metacache-tools/
	sed -i 's|/usr/local|$(PREFIX)|g' $(addprefix $(DESTDIR)$(PREFIX)/lib/metacache-tools/,drain-on-stop imap-postlogin)
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(INSTALL) -m 644 systemd/*.service systemd/*.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
	sed -i 's|/usr/local|$(PREFIX)|g' $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(notdir $(wildcard systemd/*)))
	set -e; for s in pop3 managesieve; do ln -sf imap-postlogin \
		$(DESTDIR)$(PREFIX)/lib/metacache-tools/$$s-postlogin; done
	set -e; for m in $(man_sources); do \
		d=$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}; $(INSTALL) -d $$d; \
		$(INSTALL) -m 644 $$m $$d/; done
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/share/doc/metacache-tools $(DESTDIR)$(PREFIX)/share/metacache-tools/schema
	$(INSTALL) -m 644 docs/schema/*.json $(DESTDIR)$(PREFIX)/share/metacache-tools/schema/
	$(INSTALL) -m 644 README.md CHANGELOG.md docs/operations.md cron/metacache-tools \
		$(DESTDIR)$(PREFIX)/share/doc/metacache-tools/
	sed -i 's|/usr/local|$(PREFIX)|g' $(addprefix $(DESTDIR)$(PREFIX)/share/doc/metacache-tools/,metacache-tools operations.md)
	$(INSTALL) -m 644 scripts/completion/metacache-tools.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/metacache-tools
	set -e; for p in $(notdir $(programs)); do ln -sf metacache-tools \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$p; done
