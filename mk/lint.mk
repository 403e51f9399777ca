.PHONY: lint
lint: ;
