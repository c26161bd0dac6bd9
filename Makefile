# SPDX-License-Identifier: GPL-2.0
#
# Each target is one script in harness/, see "make help".

KERNELS := plain debug kcsan

.PHONY: help run check check-long series apply linux refresh shell bench fuzz fetch clean
help:
	@cat harness/help.txt

run check shell bench fuzz:
	@harness/$@

check-long:
	@harness/check --long

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
export KSRC KTARBALL UPDATE IMAGE CMD TESTS TIME SEED KERNEL FS
