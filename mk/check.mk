# Tests. TESTS picks those whose path contains it: make check-unit TESTS=base/,
# make check-cli TESTS=flush.

TESTS ?=
export BUILD
# So many tests at once; those on real servers share these, so only their files run side by side.
JOBS ?= $(shell nproc)
BATS = BIN=$(BUILD)/bin bats --print-output-on-failure --jobs $(JOBS)
picked = $(if $(TESTS),$(foreach t,$(1),$(if $(findstring $(TESTS),$(t)),$(t))),$(1))

.PHONY: check check-unit check-cli check-fault check-real
## make check          build and run every test (check-unit, check-cli, check-fault, check-fuzz, check-real)
check: check-unit check-cli check-fault check-fuzz check-real

## make check-unit     one cmocka program a module's topic
check-unit: $(call picked,$(unit_tests))
	@set -e; for t in $(call picked,$(unit_tests)); do echo "== $${t#$(BUILD)/}"; \
		CMOCKA_MESSAGE_OUTPUT=stdout $$t; done

## make check-cli      one bats file a command
check-cli: all test-tools
	$(BATS) $(call picked,$(wildcard tests/cli/*.bats))

## make check-fault    kill sweep, faulty server, two processes
# In memory where there is room: a sweep makes and syncs its world a thousand times.
check-fault: all test-tools
	TMPDIR=$${TMPDIR:-$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)} $(BATS) $(call picked,$(wildcard tests/fault/*.bats))

.PHONY: fire
## make fire           the cache of mail objects under fire, for two minutes, twice
fire: all test-tools
	FIRE_SECONDS=120 TMPDIR=$${TMPDIR:-$$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)} \
		$(BATS) -f 'under fire' tests/fault/fscache*.bats

## make check-real     real Dovecot and Ceph RGW (root)
check-real: all test-tools
	$(BATS) --no-parallelize-within-files $(call picked,$(wildcard tests/real/*.bats))

.PHONY: race
## make race           two minutes of logins, moves between backends and prunes (RACE_SECONDS=120, root)
race: all
	RACE_SECONDS=$${RACE_SECONDS:-120} RACE_SHOW=1 $(BATS) -f 'logged in and out, moved and pruned' tests/real/prune.bats

.PHONY: demo
## make demo           the main job on a scratch Dovecot, as the README shows it (root)
demo: all
	scripts/demo $(BUILD)/bin

# The sanitizers find what the tests reach; a build of its own.
.PHONY: asan
## make asan           the tests with AddressSanitizer and UBSan, in build-asan
asan:
	$(MAKE) BUILD=$(BUILD)-asan HARDEN= \
		OPT='-O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover' \
		LDFLAGS='-fsanitize=address,undefined' check-unit check-cli

.PHONY: valgrind
## make valgrind       the unit tests under valgrind
valgrind: $(call picked,$(unit_tests))
	@set -e; for t in $(call picked,$(unit_tests)); do echo "== $${t#$(BUILD)/}"; \
		NO_TRAPS=1 valgrind -q --error-exitcode=99 --leak-check=full --trace-children=no $$t; done

.PHONY: bench
## make bench          measure against peers and bare limits (long)
bench: all test-tools
	tests/bench/run
