# metacache-tools: `make help` lists what there is.
#
# Every folder of lib/ is one archive; FLOORS is their order from the top down,
# which is also the link order and what `make lint` holds includes to.
# A folder of cmd/ is one program: <name>/main.c becomes metacache-<name>,
# except fscache-*, which keep their name.

VERSION := 0.1.0
BUILD ?= $(CURDIR)/build
PREFIX ?= /usr/local
DESTDIR ?=

FLOORS := tool metacache fscache cluster bundle index store http conf json base
LIBS_USED := libcurl libarchive popt jansson sqlite3 expat libcrypto libxxhash inih

# Tables leave trailing members at zero, so missing initialisers are no mistake.
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
	-Wformat=2 -Wno-missing-field-initializers
# Developers and CI build with warnings as errors; a packager sets WERROR= .
WERROR ?= -Werror
OPT ?= -O2 -g
HARDEN ?= -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE
CFLAGS ?= $(OPT) $(HARDEN)
ALL_CFLAGS := -std=gnu17 $(WARN) $(WERROR) -pthread -Ilib -Icmd -D_GNU_SOURCE \
	-DMETACACHE_VERSION='"$(VERSION)"' -DMETACACHE_PREFIX='"$(PREFIX)"' \
	$(shell pkg-config --cflags $(LIBS_USED) 2>/dev/null) $(CFLAGS)
ALL_LDFLAGS := -pthread -pie -Wl,-z,relro,-z,now $(LDFLAGS)
LIBS = $(shell pkg-config --libs $(LIBS_USED) 2>/dev/null)

modules := $(foreach m,$(FLOORS),$(if $(wildcard lib/$(m)/*.c),$(m)))
archives := $(modules:%=$(BUILD)/lib/%.a)
# The archives of a module and of the floors below it, for its tests.
floors_from = $(if $(filter $(1),$(firstword $(2))),$(2),$(if $(2),$(call floors_from,$(1),$(wordlist 2,99,$(2)))))
archives_from = $(patsubst %,$(BUILD)/lib/%.a,$(call floors_from,$(1),$(modules)))

program_of = $(if $(filter fscache-%,$(1)),$(1),metacache-$(1))
commands := $(patsubst cmd/%/main.c,%,$(wildcard cmd/*/main.c))
programs := $(foreach c,$(commands),$(BUILD)/bin/$(call program_of,$(c)))

.PHONY: all
all: $(programs)

include mk/build.mk mk/setup.mk mk/check.mk mk/fuzz.mk mk/lint.mk mk/install.mk

.PHONY: help
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

.PHONY: clean
## make clean          remove what was built
clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tidy
