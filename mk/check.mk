# Tests. TESTS picks some: make check-unit TESTS=base, make check-cli TESTS=flush.

TESTS ?=

.PHONY: check check-unit
## make check          build and run every test
check: check-unit

## make check-unit     the cmocka programs (TESTS=base/test_err picks)
picked_units = $(foreach t,$(unit_tests),$(if $(findstring $(TESTS),$(t)),$(t)))
check-unit: $(picked_units)
	@set -e; for t in $(picked_units); do echo "== $$t"; CMOCKA_MESSAGE_OUTPUT=stdout $$t; done
