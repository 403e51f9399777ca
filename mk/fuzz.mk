# Fuzzing with libFuzzer. FUZZ_SECONDS=3600 make fuzz is the long run.

FUZZ_SECONDS ?= 60
fuzz_targets = $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_lib = $(foreach m,bundle json base,$(wildcard lib/$(m)/*.c))
fuzz_flags = -std=gnu17 -g -O1 -pthread -Ilib -D_GNU_SOURCE
fuzz_libs = -larchive -ljansson -lcrypto -lxxhash

.PHONY: fuzz
## make fuzz           fuzz what reads foreign bytes (FUZZ_SECONDS=60 each)
fuzz: $(foreach t,$(fuzz_targets),$(BUILD)/fuzz/fuzz_$(t) $(BUILD)/fuzz/seeds_$(t))
	set -e; for t in $(fuzz_targets); do mkdir -p $(BUILD)/fuzz/corpus_$$t; \
		$(BUILD)/fuzz/seeds_$$t $(BUILD)/fuzz/corpus_$$t; \
		$(BUILD)/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -max_len=8192 \
			$(BUILD)/fuzz/corpus_$$t; done

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(fuzz_lib)
	@mkdir -p $(@D)
	clang $(fuzz_flags) -fsanitize=fuzzer,address,undefined $< $(fuzz_lib) $(fuzz_libs) -o $@

$(BUILD)/fuzz/seeds_%: tests/fuzz/seeds_%.c $(fuzz_lib)
	@mkdir -p $(@D)
	$(CC) $(fuzz_flags) $< $(fuzz_lib) $(fuzz_libs) -o $@
