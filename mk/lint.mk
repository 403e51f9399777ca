# Style, layers, and what a compiler does not say.

c_files = $(shell git ls-files '*.c' '*.h' 2>/dev/null || find lib cmd tests -name '*.[ch]')
lib_files = $(filter lib/% cmd/%,$(c_files))
scripts = $(shell git ls-files -c | xargs grep -lE '^\#!/bin/(ba)?sh|^\#!/usr/bin/env bash' 2>/dev/null)

.PHONY: lint lint-format lint-layers lint-headers lint-tidy lint-size lint-man lint-schemas lint-shell lint-bats
## make lint           format, layers, headers, sizes, man pages, schemas, scripts, clang-tidy
lint: lint-format lint-layers lint-headers lint-size lint-man lint-schemas lint-shell lint-bats lint-tidy

lint-format:
	@clang-format --dry-run -Werror $(c_files)

# Includes point down only, and a third-party header stays in its module.
lint-layers:
	@mk/check-layers '$(FLOORS)' $(lib_files)

# Every header compiles alone.
lint-headers: $(patsubst %,$(BUILD)/headers/%.ok,$(filter lib/%.h,$(c_files)))
$(BUILD)/headers/%.ok: %
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -fsyntax-only -x c -include $< /dev/null && touch $@

# Files up to 700 lines, functions up to 100, a command's main file up to 200.
lint-size:
	@mk/check-sizes $(lib_files)

man_pages = $(wildcard cmd/*/*.[157] man/*.7)
lint-man:
	@for m in $(man_pages); do mandoc -T lint -W warning $$m || exit 1; done

# What prints JSON has a schema, which its manual page names.
lint-schemas:
	@mk/check-schemas $(foreach c,$(commands),$(call program_of,$(c))=cmd/$(c))

lint-shell:
	@shellcheck -S warning $(scripts)

# Every step of a test can fail it.
lint-bats:
	@mk/check-bats $(shell git ls-files 'tests/*.bats' 'tests/*.bash')

tidy_stamps = $(patsubst %,$(BUILD)/tidy/%.ok,$(filter lib/%.c cmd/%.c,$(c_files)))
lint-tidy tidy: $(tidy_stamps)
$(BUILD)/tidy/%.ok: % .clang-tidy
	@mkdir -p $(@D)
	@clang-tidy --quiet --warnings-as-errors='*' $< -- $(filter-out -Werror,$(ALL_CFLAGS)) 2>/dev/null \
		&& touch $@
