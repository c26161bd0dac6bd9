# SPDX-License-Identifier: GPL-2.0
#
# Each target is one script in harness/, see "make help".

KERNELS := plain debug

.PHONY: help run check series apply linux refresh shell bench fetch clean
help:
	@cat harness/help.txt

run check shell bench:
	@harness/$@

fetch:
	@harness/fetch

series:
	@harness/series make

linux:
	@harness/series linux

refresh:
	@harness/series refresh $(PATCH)

apply:
	@harness/apply

.PHONY: $(KERNELS:%=kernel-%)
$(KERNELS:%=kernel-%): kernel-%:
	@harness/kernel $*

clean:
	rm -rf out
	@$(MAKE) -s -C tools/cachefiles clean

# The scripts read these from the environment.
export KSRC KTARBALL UPDATE IMAGE CMD TESTS
