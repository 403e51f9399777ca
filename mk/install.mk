.PHONY: install
install: ;
