# Fuzzing with libFuzzer. FUZZ_SECONDS=3600 make fuzz is the long run.

FUZZ_SECONDS ?= 60
fuzz_targets = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_lib = $(foreach m,bundle index json base,$(wildcard lib/$(m)/*.c)) \
	$(wildcard lib/metacache/blocks*.c) lib/metacache/state.c lib/metacache/unit.c \
	$(patsubst %,lib/fscache/fscache_%.c,log rate reader record rewrite)
# What a target starts from: its corpus in the tree, and what a program of it makes.
fuzz_seeds = $(patsubst tests/fuzz/seeds_%.c,%,$(wildcard tests/fuzz/seeds_*.c))
fuzz_cc = clang -std=gnu17 -g -O1 -pthread -Ilib -D_GNU_SOURCE -fno-sanitize-recover=undefined
fuzz_libs = -larchive -ljansson -lcrypto -lxxhash

.PHONY: fuzz $(fuzz_targets:%=fuzz-%)
## make fuzz           fuzz what reads foreign bytes (FUZZ_SECONDS=60 each)
fuzz: $(fuzz_targets:%=fuzz-%)

.PHONY: check-fuzz
## make check-fuzz     the corpora, and ten seconds of fuzzing each
check-fuzz:
	$(MAKE) --no-print-directory -j2 -Otarget fuzz FUZZ_SECONDS=10

# The log is shown where there is a finding, which is kept beside it. Files are made in
# memory where there is room.
$(fuzz_targets:%=fuzz-%): fuzz-%: $(BUILD)/fuzz/fuzz_%
	@mkdir -p $(BUILD)/fuzz/corpus_$*
	$(if $(filter $*,$(fuzz_seeds)),@$(BUILD)/fuzz/seeds_$* $(BUILD)/fuzz/corpus_$*)
	@[ ! -w /dev/shm ] || export TMPDIR=/dev/shm; tmp=$$(mktemp -d); trap 'rm -rf $$tmp' EXIT; \
	TMPDIR=$$tmp $(BUILD)/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -max_len=8192 \
		-rss_limit_mb=1024 -artifact_prefix=$(BUILD)/fuzz/$*- \
		$(addprefix -dict=,$(wildcard tests/fuzz/$*.dict)) \
		$(BUILD)/fuzz/corpus_$* $(wildcard tests/fuzz/corpus/$*) >$(BUILD)/fuzz/$*.log 2>&1 || \
		{ tail -n 100 $(BUILD)/fuzz/$*.log; exit 1; }
	@echo "== fuzz $*: $$(tail -n 1 $(BUILD)/fuzz/$*.log)"
$(fuzz_seeds:%=fuzz-%): fuzz-%: $(BUILD)/fuzz/seeds_%

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC "$< (fuzz)"
	$(Q)$(fuzz_cc) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c $< -o $@

$(BUILD)/fuzz/lib.a: $(fuzz_lib:%.c=$(BUILD)/fuzz/obj/%.o)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/fuzz/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(BUILD)/fuzz/lib.a
	$(Q)$(fuzz_cc) -fsanitize=fuzzer,address,undefined $^ $(fuzz_libs) -o $@

$(BUILD)/fuzz/seeds_%: $(BUILD)/fuzz/obj/tests/fuzz/seeds_%.o $(BUILD)/fuzz/lib.a
	$(Q)$(fuzz_cc) -fsanitize=fuzzer-no-link,address,undefined $^ $(fuzz_libs) -o $@

.PRECIOUS: $(BUILD)/fuzz/obj/%.o
