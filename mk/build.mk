# Objects, archives, programs, unit tests and test tools. V=1 shows whole commands.

Q = $(if $(V),,@)
say = $(if $(V),@:,@printf '  %-5s %s\n')

objects_of = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

define module_rule
$(BUILD)/lib/$(1).a: $(call objects_of,lib/$(1))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)$(AR) rcs $$@ $$^
endef
$(foreach m,$(modules),$(eval $(call module_rule,$(m))))

# cmd/common is what several commands share.
define program_rule
$(BUILD)/bin/$(call program_of,$(1)): $(call objects_of,cmd/$(1)) $(call objects_of,cmd/common) \
		$(archives)
	@mkdir -p $$(@D)
	$$(say) LD $$(@F)
	$$(Q)$(CC) $(ALL_LDFLAGS) $(call objects_of,cmd/$(1)) $(call objects_of,cmd/common) -Wl,--start-group $(archives) \
		-Wl,--end-group $$(LIBS) -o $$@
endef
$(foreach c,$(commands),$(eval $(call program_rule,$(c))))

# tests/unit/<module>/test_<topic>.c is one cmocka program, linked with its
# module and what is below it, so that a floor is testable by itself.
unit_sources := $(wildcard tests/unit/*/test_*.c)
unit_tests := $(unit_sources:%.c=$(BUILD)/%)

define unit_rule
$(1:%.c=$(BUILD)/%): $(1:%.c=$(BUILD)/obj/%.o) $(call archives_from,$(2))
	@mkdir -p $$(@D)
	$$(say) LD $$(@F)
	$$(Q)$(CC) $(ALL_LDFLAGS) $$< -Wl,--start-group $(call archives_from,$(2)) -Wl,--end-group \
		$$(LIBS) -lcmocka -o $$@
endef
$(foreach t,$(unit_sources),$(eval $(call unit_rule,$(t),$(notdir $(patsubst %/,%,$(dir $(t)))))))

# tests/fault/*.c and tests/bench/*.c are stand-alone tools. One that needs
# project code says so in its folder's README.
tool_sources := $(wildcard tests/fault/*.c tests/bench/*.c)
test_tools := $(patsubst %.c,$(BUILD)/%,$(tool_sources))

$(BUILD)/tests/fault/%: tests/fault/%.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP $< $(shell pkg-config --libs libmicrohttpd) \
		$(LIBS) -o $@

$(BUILD)/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -MMD -MP $< $(LIBS) -o $@

# These use the library.
real_tools := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/real/*.c))
lib_tools := $(real_tools) $(addprefix $(BUILD)/tests/,bench/weightsim bench/gencache bench/hitsim bench/cacheops fault/fscache_fire)
$(lib_tools): $(BUILD)/%: $(BUILD)/obj/%.o $(archives)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(ALL_LDFLAGS) $< -Wl,--start-group $(archives) -Wl,--end-group $(LIBS) -lm -o $@

.PHONY: test-tools
test-tools: $(test_tools) $(real_tools)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
