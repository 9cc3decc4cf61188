# Each scenario is a test: aerostat-sim exits with 0 when all that it expects, and every invariant, held.
TEST_EXTENSIONS = .json
JSON_LOG_COMPILER = ./aerostat-sim
AM_JSON_LOG_FLAGS = --json
scenarios = \
	%D%/scenarios/adversaries-together.json \
	%D%/scenarios/adversary-boaster.json \
	%D%/scenarios/adversary-bursty.json \
	%D%/scenarios/adversary-deflater.json \
	%D%/scenarios/adversary-faker.json \
	%D%/scenarios/adversary-flapping.json \
	%D%/scenarios/adversary-liar.json \
	%D%/scenarios/adversary-limited.json \
	%D%/scenarios/adversary-rebooter.json \
	%D%/scenarios/adversary-silent.json \
	%D%/scenarios/adversary-slow.json \
	%D%/scenarios/adversary-sticky.json \
	%D%/scenarios/adversary-stuck.json \
	%D%/scenarios/agentless-half.json \
	%D%/scenarios/autodeflate.json \
	%D%/scenarios/boot-storm.json \
	%D%/scenarios/boot-waves.json \
	%D%/scenarios/builds-equal.json \
	%D%/scenarios/builds-staggered.json \
	%D%/scenarios/builds-together.json \
	%D%/scenarios/burst.json \
	%D%/scenarios/bursts-together.json \
	%D%/scenarios/cannot-swap.json \
	%D%/scenarios/density-52.json \
	%D%/scenarios/fits.json \
	%D%/scenarios/fixed-and-huge.json \
	%D%/scenarios/guest-swap.json \
	%D%/scenarios/host-process.json \
	%D%/scenarios/hot-cache.json \
	%D%/scenarios/idle-and-busy.json \
	%D%/scenarios/limited-crowd.json \
	%D%/scenarios/manual.json \
	%D%/scenarios/mass-release.json \
	%D%/scenarios/no-swap.json \
	%D%/scenarios/nodes.json \
	%D%/scenarios/nodes-adversaries.json \
	%D%/scenarios/nodes-process.json \
	%D%/scenarios/paused-vm.json \
	%D%/scenarios/reservation-refused.json \
	%D%/scenarios/reservation-released.json \
	%D%/scenarios/reservation.json \
	%D%/scenarios/swap-backed.json \
	%D%/scenarios/swap-shrinks.json \
	%D%/scenarios/thousand.json \
	%D%/scenarios/weight-zero.json \
	%D%/scenarios/weights.json \
	%D%/scenarios/zram-only.json
TESTS += $(scenarios)
EXTRA_DIST += $(scenarios)

dist_check_SCRIPTS += %D%/check-sim %D%/check-compare
TESTS += %D%/check-sim %D%/check-compare
