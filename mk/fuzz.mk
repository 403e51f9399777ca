# Fuzzing with libFuzzer. FUZZ_SECONDS=3600 make fuzz is the long run.

FUZZ_SECONDS ?= 60
fuzz_targets = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_lib = $(foreach m,bundle index json base,$(wildcard lib/$(m)/*.c)) $(wildcard lib/metacache/blocks*.c)
# What a target starts from: its corpus in the tree, and what a program of it makes.
fuzz_seeds = $(patsubst tests/fuzz/seeds_%.c,%,$(wildcard tests/fuzz/seeds_*.c))
fuzz_flags = -std=gnu17 -g -O1 -pthread -Ilib -D_GNU_SOURCE
fuzz_libs = -larchive -ljansson -lcrypto -lxxhash

.PHONY: fuzz
## make fuzz           fuzz what reads foreign bytes (FUZZ_SECONDS=60 each)
fuzz: $(fuzz_targets:%=fuzz-%)

.PHONY: check-fuzz
## make check-fuzz     the corpora, and ten seconds of fuzzing each
check-fuzz:
	$(MAKE) --no-print-directory fuzz FUZZ_SECONDS=10

.PRECIOUS: $(BUILD)/fuzz/fuzz_% $(BUILD)/fuzz/seeds_%
fuzz-%: $(BUILD)/fuzz/fuzz_%
	@mkdir -p $(BUILD)/fuzz/corpus_$*
	$(if $(filter $*,$(fuzz_seeds)),$(MAKE) --no-print-directory $(BUILD)/fuzz/seeds_$*)
	$(if $(filter $*,$(fuzz_seeds)),$(BUILD)/fuzz/seeds_$* $(BUILD)/fuzz/corpus_$*)
	$(BUILD)/fuzz/fuzz_$* -max_total_time=$(FUZZ_SECONDS) -max_len=8192 \
		$(BUILD)/fuzz/corpus_$* $(wildcard tests/fuzz/corpus/$*)

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(fuzz_lib)
	@mkdir -p $(@D)
	clang $(fuzz_flags) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $< $(fuzz_lib) $(fuzz_libs) -o $@

$(BUILD)/fuzz/seeds_%: tests/fuzz/seeds_%.c $(fuzz_lib)
	@mkdir -p $(@D)
	$(CC) $(fuzz_flags) $< $(fuzz_lib) $(fuzz_libs) -o $@
